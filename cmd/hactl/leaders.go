package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/engines/vrrp"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/lead"
	"github.com/hactl/hactl/schema"
)

// etcdFlags say how to get into the etcd that a specification names.
type etcdFlags struct {
	ca, cert, key          string
	username, passwordFile string
}

func (f *etcdFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.ca, "etcd-ca-file", "", "certificate authority of the specification's etcd, in PEM")
	flags.StringVar(&f.cert, "etcd-cert-file", "", "client certificate for it")
	flags.StringVar(&f.key, "etcd-key-file", "", "its key")
	flags.StringVar(&f.username, "etcd-username", "", "user name for it")
	flags.StringVar(&f.passwordFile, "etcd-password-file", "", "file with that user's password")
}

// leaders is a follow.Leader by what the specification says: the Active router
// of a Virtual Router, the holder of an etcd lease, or one host always.
type leaders struct {
	host func() string // this host's name
	// ask is how the engine of this host is.
	ask     func(context.Context) (*host.Status, *host.Config, error)
	none    bool // an agent of no host
	flags   *etcdFlags
	log     *slog.Logger
	changes chan<- struct{}

	mu      sync.Mutex
	elector *lead.Elector // while the specification wants one
	options lead.Options  // that it was made with
	stop    func()        // resigns, and waits for that
}

// askLimit is how long the engine may take to say whether this host leads.
const askLimit = 3 * time.Second

// mostSettle bounds how long a new Active router waits for a better one, which
// takes over within an Active_Down_Interval: three intervals and a Skew_Time of less
// than one (version 2: than a second, which is the shortest interval).
const mostSettle = 10 * time.Second

// Lead implements follow.Leader.
func (l *leaders) Lead(ctx context.Context, spec *schema.Spec) follow.Leadership {
	elects := spec.Leader != nil && len(spec.Leader.Etcd) > 0
	if !elects {
		l.resign()
	}
	switch leader := spec.Leader; {
	case leader == nil && l.none:
		return follow.Leadership{Mode: "alone", Mine: true, Term: "alone"}
	case leader == nil:
		return follow.Leadership{Mode: "none"}
	case leader.Host != "":
		return follow.Leadership{Mode: "host", Leader: leader.Host, Mine: leader.Host == l.host(), Term: "host " + leader.Host}
	case leader.VirtualRouter != "":
		return l.active(ctx, leader.VirtualRouter)
	}
	return l.elected(ctx, spec)
}

// Confirm implements follow.Leader.
func (l *leaders) Confirm(ctx context.Context, spec *schema.Spec, was follow.Leadership) error {
	if was.Mode == "etcd" {
		l.mu.Lock()
		elector := l.elector
		l.mu.Unlock()
		term, err := strconv.ParseInt(was.Term, 10, 64)
		if elector == nil || err != nil {
			return lead.ErrLost
		}
		return elector.Confirm(ctx, term)
	}
	if now := l.Lead(ctx, spec); !now.Mine || now.Term != was.Term {
		return fmt.Errorf("this host no longer leads: %s does", now.Leader)
	}
	return nil
}

// active asks the engine of this host. The term is when the router became
// Active, and how often it has heard another one that was too: one that slept
// while the other led may still be Active when it wakes up, and hears that first
// (package host).
func (l *leaders) active(ctx context.Context, router string) follow.Leadership {
	lead := follow.Leadership{Mode: "virtualRouter"}
	if l.none {
		lead.Err = "this agent runs no Virtual Router"
		return lead
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	s, _, err := l.ask(ctx)
	if err != nil {
		lead.Err = "the VRRP engine does not answer: " + err.Error()
		return lead
	}
	r := s.Router(router)
	switch {
	case r == nil:
		return lead // This host is no member.
	case r.State == vrrp.StateActive.String():
		lead.Mine, lead.Leader = true, l.host()
		lead.Term = fmt.Sprint(r.Since.Format(time.RFC3339Nano), " ", r.Counters.Noted[vrrp.NoteRival.String()])
		lead.Since, lead.Settle = r.Since, min(4*r.Interval, mostSettle)
	case r.Leader.IsValid():
		lead.Leader = r.Leader.String()
	}
	return lead
}

// elected takes part in the election, which only who can write does, and says
// how it stands.
func (l *leaders) elected(ctx context.Context, spec *schema.Spec) follow.Leadership {
	answer := follow.Leadership{Mode: "etcd"}
	if token, err := apiToken(); err != nil || token == "" {
		l.resign()
		answer.Err = cause(err, errNoToken)
		return answer
	}
	elector, err := l.elect(spec)
	if err != nil {
		answer.Err = err.Error()
		return answer
	}
	if term, ok := elector.Leads(); ok {
		answer.Mine, answer.Leader, answer.Term = true, l.identity(), strconv.FormatInt(term, 10)
		return answer
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	if answer.Leader, err = elector.Leader(ctx); err != nil {
		answer.Err = err.Error()
	}
	return answer
}

func cause(err, otherwise error) string {
	if err != nil {
		return err.Error()
	}
	return otherwise.Error()
}

// identity is what others know this host by.
func (l *leaders) identity() string {
	if name := l.host(); name != "" {
		return name
	}
	name, err := os.Hostname()
	if err != nil {
		return "an agent of no host"
	}
	return name
}

// elect is the elector that the specification wants.
func (l *leaders) elect(spec *schema.Spec) (*lead.Elector, error) {
	o := lead.Options{
		Endpoints: spec.Leader.Etcd, Stack: spec.Stack, Identity: l.identity(),
		CAFile: l.flags.ca, CertFile: l.flags.cert, KeyFile: l.flags.key,
	}
	l.mu.Lock()
	if l.elector != nil && reflect.DeepEqual(o, l.options) {
		defer l.mu.Unlock()
		return l.elector, nil
	}
	l.mu.Unlock()
	l.resign()
	given := o
	given.Log = l.log
	if l.flags.username != "" {
		given.Username = l.flags.username
		given.Password = func() (string, error) { return secretFile(l.flags.passwordFile) }
	}
	elector, err := lead.Etcd(given)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		elector.Run(ctx)
	}()
	go func() {
		for {
			select {
			case <-elector.Changes():
				select {
				case l.changes <- struct{}{}:
				default:
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.elector, l.options = elector, o
	l.stop = func() { cancel(); <-over }
	return elector, nil
}

// resign ends this host's part in an election, if it has one.
func (l *leaders) resign() {
	l.mu.Lock()
	stop := l.stop
	l.elector, l.stop, l.options = nil, nil, lead.Options{}
	l.mu.Unlock()
	if stop != nil {
		stop()
	}
}
