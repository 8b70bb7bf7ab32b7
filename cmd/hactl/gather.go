package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/status"
	"github.com/hactl/hactl/schema"
)

// askFlags say how to ask the agents of other hosts.
type askFlags struct {
	tokenFile, caFile string
}

func (f *askFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.tokenFile, "agent-token-file", os.Getenv("HACTL_AGENT_TOKEN_FILE"), "file with the bearer token of the hosts' agents (default: HACTL_AGENT_TOKEN_FILE)")
	cmd.Flags().StringVar(&f.caFile, "agent-ca-file", os.Getenv("HACTL_AGENT_CA_FILE"), "certificate authority of the hosts' agents, in PEM (default: HACTL_AGENT_CA_FILE, else the system's)")
}

// answer is what a host's agent says of itself, or why it says nothing.
type answer struct {
	host   string
	report *agentReport
	err    error
}

var errNoAgent = errors.New("the specification names no agent of it to ask")

// gather asks the agents of hosts, all at once; own is this machine, which is
// asked by its socket. Answers are in the order of names.
func (f *askFlags) gather(ctx context.Context, spec *schema.Spec, names []string, own, dir string) ([]answer, error) {
	var token string
	var err error
	if f.tokenFile != "" {
		if token, err = secretFile(f.tokenFile); err != nil {
			return nil, fmt.Errorf("--agent-token-file: %w", err)
		}
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if f.caFile != "" {
		pem, err := os.ReadFile(f.caFile)
		if err != nil {
			return nil, fmt.Errorf("--agent-ca-file: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--agent-ca-file: %s holds no certificate", f.caFile)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	ctx, cancel := context.WithTimeout(ctx, gatherTime)
	defer cancel()
	answers := make([]answer, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		answers[i].host = name
		client := status.DialLocal(agentSocket(dir))
		if name != own {
			url := spec.Hosts[name].Agent
			if url == "" {
				answers[i].err = errNoAgent
				continue
			}
			client = status.DialRemote(url, token, transport)
		}
		wg.Go(func() {
			var r agentReport
			if answers[i].err = client.Report(ctx, &r); answers[i].err == nil {
				answers[i].check(&r)
			}
		})
	}
	wg.Wait()
	return answers, nil
}

// gatherTime is how long hosts may take to answer.
const gatherTime = 5 * time.Second

// check takes a report for the host's that was asked.
func (a *answer) check(r *agentReport) {
	switch {
	case r.Version != reportVersion:
		a.err = fmt.Errorf("it answers in version %d of the form, and this hactl knows %d", r.Version, reportVersion)
	case r.Host != "" && r.Host != a.host:
		a.err = fmt.Errorf("it says that it is %q", r.Host)
	default:
		a.report = r
	}
}

// askOthers returns what the specification changes on other hosts, as far as
// those can be asked.
func (f *planFlags) askOthers(ctx context.Context, spec *schema.Spec) ([]reconcile.HostPlan, error) {
	if len(f.targets) > 0 {
		return nil, nil
	}
	own, err := f.host.find(spec)
	if err != nil {
		return nil, err
	}
	var names []string
	for name, h := range spec.Hosts {
		if name != own && h.Agent != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	answers, err := f.ask.gather(ctx, spec, names, own, f.host.dir())
	if err != nil {
		return nil, err
	}
	var plans []reconcile.HostPlan
	for _, a := range answers {
		plans = append(plans, hostPlan(spec, a))
	}
	return plans, nil
}

// unasked says which hosts a plan says nothing of, as nobody can ask them.
func (f *planFlags) unasked(spec *schema.Spec) []reconcile.Finding {
	own, err := f.host.find(spec)
	if err != nil || len(f.targets) > 0 {
		return nil
	}
	var names []string
	for name, h := range spec.Hosts {
		if name != own && h.Agent == "" && len(spec.HostObjects(name)) > 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return []reconcile.Finding{{
		ID:      schema.ID{Kind: schema.KindHost, Name: strings.Join(names, ", ")},
		Message: "not compared: the specification names no agent of it to ask",
	}}
}

// hostPlan is what a specification changes on a host that has answered.
func hostPlan(spec *schema.Spec, a answer) reconcile.HostPlan {
	p := reconcile.HostPlan{Host: a.host}
	switch {
	case a.err != nil:
		p.Unknown = a.err.Error()
		return p
	case a.report.EngineError != "":
		p.Revision, p.Unknown = a.report.Follow.Revision, "its VRRP engine does not answer: "+a.report.EngineError
		return p
	}
	d := reconcile.Desired{Stack: spec.Stack, Objects: map[schema.ID]schema.Object{}}
	for _, o := range spec.HostObjects(a.host) {
		d.Objects[o.ID()] = o
	}
	node := &host.Node{Host: a.host, Secret: secret}
	scope := reconcile.Scope{Stack: spec.Stack, Objects: d.Objects}
	plan := reconcile.Diff(d, node.Live(a.report.Config, a.report.Engine, scope))
	p.Revision, p.Steps, p.Notices = a.report.Follow.Revision, plan.Steps, plan.Notices
	if r := a.report.Follow.Refused; r != nil {
		p.Notices = append(p.Notices, reconcile.Finding{ID: schema.ID{Kind: schema.KindHost, Name: a.host}, Message: fmt.Sprintf("refuses revision %s (%s): %s", short(r.Revision), r.Reason, r.Message)})
	}
	return p
}

func short(revision string) string {
	if len(revision) == 40 {
		return revision[:12]
	}
	return revision
}

// absent tells that nothing listens at a socket.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}
