package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/cgi"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
	"github.com/hactl/hactl/engines/host/netns"
	"github.com/hactl/hactl/reconcile/drill"
	"github.com/hactl/hactl/reconcile/status"
	"github.com/hactl/hactl/schema"
	"github.com/hactl/hactl/schema/load"
)

// lab is hosts with agents that follow a Git repository and lead a simulated
// Cloudflare: a drill.Lab. Where the hosts are is its site's.
type lab struct {
	dir  string // of all its files
	sim  *cfsim.Server
	site labSite
	http *http.Server
	base string // where hosts reach the services
	// layout is what was built, and zones are what Cloudflare has.
	layout *netns.Layout
	zones  []string

	mu   sync.Mutex
	down map[string]bool // services
	spec *schema.Spec    // pushed last that evaluates
	gone map[string]bool // hosts that cannot be reached
	stop func()          // what watches

	// begin is called when the first specification is there; nil where nothing is
	// to be done then. It is Push's alone.
	begin func(ctx context.Context, spec *schema.Spec) error
}

// labSite is where the hosts of a lab are: network namespaces, or memory.
type labSite interface {
	// listen is for the services; hosts reach it at base.
	listen() (l net.Listener, base string, err error)
	// power of a host; on, its agent is started.
	power(ctx context.Context, host string, on bool) error
	// run starts the agent of a host, or tells it to end and waits for that.
	run(ctx context.Context, host string, on bool) error
	cable(host, iface string, plugged bool) error
	split(hosts []string, apart bool) error
	// probe asks an address from now on.
	probe(a netip.Addr) error
	adverts(since time.Time) []drill.Advert
	silences(since time.Time) map[netip.Addr][]drill.Silence
	// log is what a host's agent has said.
	log(host string) string
	// what is the site in words, for people.
	what() string
	close() error
}

// How often a lab's agents look at Git, and for drift.
const (
	labPoll   = time.Second
	labResync = 3 * time.Second
)

// labHost is the directory of a host's files. The path of a socket in it may not
// be long.
func labHost(dir, host string) string {
	const most = 24
	if len(host) > most {
		sum := sha256.Sum256([]byte(host))
		host = host[:most-9] + "-" + hex.EncodeToString(sum[:4])
	}
	return filepath.Join(dir, "hosts", host)
}

// labLog makes a host's directories, and opens what its agent writes to.
func labLog(dir, host string) (*os.File, error) {
	d := labHost(dir, host)
	if err := os.MkdirAll(filepath.Join(d, "run"), 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(d, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

// labArgs are the flags of a host's agent.
func labArgs(dir, host, base string) []string {
	d := labHost(dir, host)
	return []string{
		"--lab", d, "--host", host, "--repo", base + "/git/spec.git", "--ref", "main", "--path", labFolder, "--runtime", filepath.Join(d, "run"), "--state", filepath.Join(d, "state"),
		"--poll", labPoll.String(), "--resync", labResync.String(),
	}
}

// labFolder is that of the specification in the repository.
const labFolder = "spec"

// newLab makes the repository and the services; the hosts are off. zones are
// those at Cloudflare.
func newLab(ctx context.Context, dir string, zones []string, layout *netns.Layout, st labSite) (*lab, error) {
	l := &lab{dir: dir, layout: layout, zones: zones, sim: cfsim.New(cfsim.Options{Zones: zones}), site: st, down: map[string]bool{}, gone: map[string]bool{}}
	for _, args := range [][]string{
		{"init", "--quiet", "--bare", "--initial-branch=main", l.path("spec.git")},
		{"-C", l.path("spec.git"), "config", "uploadpack.allowFilter", "true"},
		{"init", "--quiet", "--initial-branch=main", l.path("work")},
		{"-C", l.path("work"), "remote", "add", "origin", l.path("spec.git")},
	} {
		if _, err := l.git(ctx, args...); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(l.folder(), 0o755); err != nil {
		return nil, err
	}
	listener, base, err := st.listen()
	if err != nil {
		return nil, err
	}
	l.base = base
	l.http = &http.Server{Handler: status.OnlyHere(l), ReadHeaderTimeout: time.Minute}
	go func() { _ = l.http.Serve(listener) }()
	watching, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { l.watchEdge(watching) })
	l.stop = func() { stop(); wg.Wait() }
	return l, nil
}

func (l *lab) path(name string) string { return filepath.Join(l.dir, name) }
func (l *lab) folder() string          { return filepath.Join(l.dir, "work", labFolder) }

// close ends everything.
func (l *lab) close() error {
	l.stop()
	err := l.site.close()
	_ = l.http.Close()
	return err
}

// ServeHTTP is Git below /git, and Cloudflare.
func (l *lab) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := "api"
	if strings.HasPrefix(r.URL.Path, "/git/") {
		name = "git"
	}
	l.mu.Lock()
	down := l.down[name]
	l.mu.Unlock()
	if down {
		panic(http.ErrAbortHandler) // The connection breaks off.
	}
	if name == "api" {
		l.sim.ServeHTTP(w, r)
		return
	}
	git, err := exec.LookPath("git")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	backend := &cgi.Handler{
		Path: git, Args: []string{"http-backend"}, Root: "/git", Stderr: io.Discard,
		Env: []string{"GIT_PROJECT_ROOT=" + l.dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + l.path("gitconfig")},
	}
	backend.ServeHTTP(w, r)
}

// git runs git without anybody's settings.
func (l *lab) git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+l.path("gitconfig"), "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=drill", "GIT_AUTHOR_EMAIL=drill@example.com",
		"GIT_COMMITTER_NAME=drill", "GIT_COMMITTER_EMAIL=drill@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, bytes.TrimSpace(out))
	}
	return strings.TrimSpace(string(out)), nil
}

// Push implements drill.Lab. What cannot be pushed is taken out of the folder.
func (l *lab) Push(ctx context.Context, message string, edit func(dir string) error) (_ string, _ *schema.Spec, err error) {
	work := l.path("work")
	pushed := false
	defer func() {
		if err != nil && !pushed {
			_, _ = l.git(ctx, "-C", work, "add", "--all")
			_, _ = l.git(ctx, "-C", work, "reset", "--quiet", "--hard") // fails before the first push
		}
	}()
	if err := edit(l.folder()); err != nil {
		return "", nil, err
	}
	spec, invalid := l.evaluate(ctx)
	if invalid != nil && !errors.As(invalid, new(*drill.InvalidError)) {
		return "", nil, invalid
	}
	if spec != nil {
		if err := l.has(spec); err != nil {
			return "", nil, err
		}
	}
	for _, args := range [][]string{{"add", "--all"}, {"commit", "--quiet", "--allow-empty", "--message", message}, {"push", "--quiet", "origin", "main"}} {
		if _, err := l.git(ctx, append([]string{"-C", work}, args...)...); err != nil {
			return "", nil, err
		}
	}
	pushed = true
	revision, err := l.git(ctx, "-C", work, "rev-parse", "HEAD")
	if err != nil {
		return "", nil, err
	}
	if spec == nil {
		return revision, nil, invalid
	}
	l.mu.Lock()
	l.spec = spec
	l.mu.Unlock()
	for _, v := range spec.VirtualRouters {
		for _, text := range slices.Concat(v.Addresses, v.ExcludedAddresses) {
			a, err := netip.ParsePrefix(text)
			if err != nil || !v.Accept {
				continue // It answers nobody.
			}
			if err := l.site.probe(a.Addr()); err != nil {
				return "", nil, fmt.Errorf("ask %s: %w", a.Addr(), err)
			}
		}
	}
	if begin := l.begin; begin != nil {
		l.begin = nil
		if err := begin(ctx, spec); err != nil {
			return "", nil, err
		}
	}
	return revision, spec, nil
}

// power gives all hosts power, those that the leader's addresses would rather be
// with first: they read the specification as they start, so that the edge has
// the leader from the beginning that it is to have. One that is replaced
// while it makes a tunnel leaves one that no other host knows as its own.
func (l *lab) power(ctx context.Context, spec *schema.Spec) error {
	hosts := l.hosts(spec)
	if leader := spec.Leader; leader != nil {
		members := spec.VirtualRouters[leader.VirtualRouter].Members
		slices.SortStableFunc(hosts, func(a, b string) int { return cmp.Compare(members[b].Priority, members[a].Priority) })
	}
	for _, host := range hosts {
		if err := l.site.power(ctx, host, true); err != nil {
			return fmt.Errorf("%s: %w", host, err)
		}
	}
	return nil
}

// running is the specification that was pushed last and evaluates.
func (l *lab) running() *schema.Spec {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.spec
}

func (l *lab) evaluate(ctx context.Context) (*schema.Spec, error) {
	spec, err := evaluateFolder(ctx, l.folder())
	if spec != nil {
		adaptToLab(spec)
	}
	return spec, err
}

// evaluateFolder loads a specification; what is wrong with it is a
// drill.InvalidError.
func evaluateFolder(ctx context.Context, dir string) (*schema.Spec, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	spec, _, err := load.Load(ctx, load.Files{FS: os.DirFS(dir), Dir: ".", Name: func(n string) string { return filepath.Join(dir, n) }}, load.DefaultLimits())
	var invalid *load.Invalid
	if errors.As(err, &invalid) {
		var lines []string
		for _, p := range invalid.Problems {
			lines = append(lines, fmt.Sprint(p))
		}
		return nil, &drill.InvalidError{Problems: strings.Join(lines, "\n")}
	}
	return spec, err
}

// hosts are those of a specification, or of the one that was pushed last.
func (l *lab) hosts(spec *schema.Spec) []string {
	if spec == nil {
		spec = l.running()
	}
	if spec == nil {
		return nil
	}
	if len(spec.Hosts) == 0 {
		return []string{noHost} // somebody has to keep the edge
	}
	return slices.Sorted(maps.Keys(spec.Hosts))
}

// Power implements drill.Lab.
func (l *lab) Power(ctx context.Context, host string, on bool) error {
	l.away(host, !on)
	return l.site.power(ctx, host, on)
}

// Run implements drill.Lab.
func (l *lab) Run(ctx context.Context, host string, on bool) error {
	return l.site.run(ctx, host, on)
}

// Cable implements drill.Lab.
func (l *lab) Cable(_ context.Context, host, iface string, plugged bool) error {
	if iface == "" {
		l.away(host, !plugged)
	}
	return l.site.cable(host, iface, plugged)
}

// Split implements drill.Lab.
func (l *lab) Split(_ context.Context, hosts []string, apart bool) error {
	return l.site.split(hosts, apart)
}

// Check implements drill.Lab.
func (l *lab) Check(_ context.Context, host, check string, fails bool) error {
	path := failingCheck(labHost(l.dir, host), check)
	if !fails {
		return os.RemoveAll(path)
	}
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, nil, 0o644)
	}
	return err
}

// Service implements drill.Lab.
func (l *lab) Service(_ context.Context, name string, up bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down[name] = !up
	return nil
}

// Adverts implements drill.Lab.
func (l *lab) Adverts(since time.Time) []drill.Advert { return l.site.adverts(since) }

// Silences implements drill.Lab.
func (l *lab) Silences(since time.Time) map[netip.Addr][]drill.Silence {
	return l.site.silences(since)
}

// reports are what the agents of the hosts say, by name.
func (l *lab) reports(ctx context.Context) map[string]*agentReport {
	var mu sync.Mutex
	var wg sync.WaitGroup
	all := map[string]*agentReport{}
	for _, host := range l.hosts(nil) {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			var r agentReport
			if err := status.DialLocal(agentSocket(filepath.Join(labHost(l.dir, host), "run"))).Report(ctx, &r); err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			all[host] = &r
		})
	}
	wg.Wait()
	return all
}

// Hosts implements drill.Lab.
func (l *lab) Hosts(ctx context.Context) map[string]drill.Host {
	hosts := map[string]drill.Host{}
	for name, r := range l.reports(ctx) {
		h := drill.Host{Revision: r.Follow.Revision, Leads: r.Edge.Leadership.Mine, Applied: r.Edge.Revision, Edge: edgeTrouble(&r.Edge), Routers: map[string]drill.RouterState{}}
		if r.Follow.Refused != nil {
			h.Refused, h.Why = r.Follow.Refused.Revision, r.Follow.Refused.Message
		}
		if r.Engine != nil {
			for i := range r.Engine.Routers {
				if v := &r.Engine.Routers[i]; !v.Retiring {
					h.Routers[v.Name] = drill.RouterState{State: v.State, Since: v.Since, VRID: int(v.VRID)}
				}
			}
		}
		hosts[name] = h
	}
	return hosts
}
