package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
	"github.com/hactl/hactl/engines/host/netns"
	"github.com/hactl/hactl/examples"
	"github.com/hactl/hactl/reconcile/drill"
	"github.com/hactl/hactl/reconcile/render"
	"github.com/hactl/hactl/reconcile/status"
	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
)

// What the demo plays unless it is told otherwise.
const (
	demoExample = "edge-and-lan"
	demoDrill   = "drill.txt"
)

func newDemo() *cobra.Command {
	d := &demo{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it work on this machine, without an account; drill a specification",
		Long: `demo builds the hosts of a specification on this machine, runs an agent on each, a
Git server, a simulated Cloudflare, and a client that asks the virtual addresses
every 5 ms. Then it plays a drill, and prints what was predicted beside what was
measured: pushes, drift, a host that dies and comes back, a check that fails, a
push that is wrong, maintenance, a planned stop.

As root, hosts are network namespaces with real sockets and addresses; without,
they are in memory. Nothing outside is reached: no account, no notification, no
health check of the specification's, no hook. It needs git, and leaves nothing
behind.

--spec drills a specification of yours, with the standard drill or a --script:

  say WORDS                        is shown
  push PATH                        a file or folder takes the specification's place
  edit FILE OLD NEW                change a text in it, and push
  revert                           take the last push back
  mistake                          push what does not evaluate
  maintenance HOST on|off          by a push
  kill HOST, boot HOST             power, off right after an advertisement
  stop HOST, start HOST            hactl run is told to end, is started
  unplug HOST [INTERFACE], plug    a cable
  split HOST HOST..., heal         hosts do not hear each other
  check HOST NAME fail|pass        what a health check finds
  drift pool/NAME|dnsRecord/NAME   changed behind the specification's back
  service git|api down|up          cannot be reached
  wait DURATION
  expect active ROUTER HOST|nobody
  expect silence DURATION          of the last step, at most
  expect refused
  expect served|unserved ENTRY

The lab is built for the specification that the drill begins with: a push of
another host, interface, subnet or zone is an error. What members have to agree on
changes after 3 s at most, whatever activationDelay says.

Words with blanks stand in double quotes; # begins a comment. --keep leaves it
running, with the page, and takes further steps from its input. With -o json the
outcomes are on standard output at the end, and what is told meanwhile is on
standard error.

Exit code: 0 all went as predicted, 2 something did not, 1 it could not be
played. That a switch took another time is told, and counts with --strict alone:
a machine that has other things to do is late.`,
		Args: noArguments,
		RunE: d.run,
	}
	flags := cmd.Flags()
	flags.StringVar(&d.spec, "spec", "", "directory of the specification to drill (default: the example "+demoExample+")")
	flags.StringVar(&d.script, "script", "", "file with the drill (default: the standard drill; the example's own without --spec)")
	flags.BoolVar(&d.keep, "keep", false, "go on until interrupted, and take steps from the input")
	flags.BoolVar(&d.strict, "strict", false, "exit code 2 where a switch took another time than predicted, too: by more than a tenth and 25ms")
	flags.BoolVar(&d.memory, "memory", false, "hosts in memory, even as root")
	flags.StringVar(&d.listen, "listen", "127.0.0.1:0", "address of loopback for the page")
	flags.StringVarP(&d.output, "output", "o", "text", "text or json")
	_ = cmd.MarkFlagDirname("spec")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// demo is one run of it.
type demo struct {
	spec, script   string
	keep, memory   bool
	strict         bool
	listen, output string

	out    io.Writer // for people
	style  render.Style
	dir    string // of the specification
	lab    *lab
	player *drill.Player
	played []*drill.Outcome
	recent status.Recent
}

func (d *demo) run(cmd *cobra.Command, _ []string) error {
	if d.output != "text" && d.output != "json" {
		return fmt.Errorf("-o %s: want text or json", d.output)
	}
	if name, port, err := net.SplitHostPort(d.listen); err != nil || port == "" || !isLoopback(name) {
		return fmt.Errorf("--listen %s: want an address of loopback and a port, such as 127.0.0.1:9180", d.listen)
	}
	if _, err := exec.LookPath("git"); err != nil {
		return errors.New("the demo needs git")
	}
	d.out = render.Clean{W: cmd.OutOrStdout()}
	d.style = style(cmd, cmd.OutOrStdout())
	if d.style.Color {
		d.out = cmd.OutOrStdout()
	}
	if d.output == "json" { // The story goes beside it, the page's address among it.
		d.out, d.style = render.Clean{W: cmd.ErrOrStderr()}, render.Style{}
	}
	dir, leave, err := demoDirectory()
	if err != nil {
		return err
	}
	defer leave()
	began := time.Now()
	ctx, stop := d.untilHungUp(cmd.Context())
	defer stop()
	err = d.play(ctx, dir, cmd.InOrStdin())
	if ctx.Err() != nil && !d.keep {
		return errors.New("interrupted")
	}
	if err != nil && ctx.Err() == nil {
		return err
	}
	if d.output == "json" {
		err = render.DrillJSON(cmd.OutOrStdout(), d.played)
	} else {
		d.say("That took %s.", time.Since(began).Round(100*time.Millisecond))
		err = render.DrillTable(d.out, d.played)
		if d.spec == "" && err == nil {
			_, err = fmt.Fprint(d.out, "\nGo on with your own:\n  hactl init my-edge && hactl demo --spec my-edge\n  hactl sim        # the simulated Cloudflare alone, to play with\n")
		}
	}
	if err == nil && render.Deviations(d.played, d.strict) > 0 {
		err = exitChanges
	}
	return err
}

// untilHungUp ends with the terminal, too, and where nobody reads d.out any
// more: what was built has to be taken down all the same.
func (d *demo) untilHungUp(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancel(ctx)
	d.out = &heeded{d.out, end}
	// Heard, it is an error of who writes; of any file, so that it says no more.
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, unix.SIGPIPE)
	stop := func() { signal.Stop(pipe); end() }
	if signal.Ignored(unix.SIGHUP) { // as nohup has it
		return ctx, stop
	}
	ctx, hangup := signal.NotifyContext(ctx, unix.SIGHUP)
	return ctx, func() { hangup(); stop() }
}

// heeded is a writer whose end is heard of.
type heeded struct {
	io.Writer
	end func()
}

func (h *heeded) Write(b []byte) (int, error) {
	n, err := h.Writer.Write(b)
	if err != nil {
		h.end()
	}
	return n, err
}

// play builds the lab in dir, plays, and takes it down.
func (d *demo) play(ctx context.Context, dir string, in io.Reader) (err error) {
	script, spec, err := d.read(ctx, dir)
	if err != nil {
		return err
	}
	layout, err := netns.Plan(spec)
	if err != nil {
		return fmt.Errorf("these hosts cannot be built here: %w", err)
	}
	if err := fitsSockets(dir, layout.Hosts); err != nil {
		return err
	}
	l, err := net.Listen("tcp", d.listen) // before anything is built
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	defer func() { _ = l.Close() }()
	leaveEnvironment()
	st, err := d.place(ctx, dir, layout, spec)
	if err != nil {
		return err
	}
	if d.lab, err = newLab(ctx, dir, labZones(spec), layout, st); err != nil {
		return errors.Join(err, st.close())
	}
	defer func() { err = errors.Join(err, d.lab.close()) }()
	labEnvironment(d.lab)
	d.player = &drill.Player{Lab: d.lab, Dir: filepath.Dir(d.script), Poll: labPoll, Resync: labResync, Begun: d.begun, Ended: d.ended}
	page, closePage := d.page(l)
	defer closePage()
	if err := d.open(ctx, spec, page); err != nil {
		return d.explain(err)
	}
	if _, err := d.player.Play(ctx, script); err != nil {
		return d.explain(err)
	}
	if d.keep {
		d.steps(ctx, in, page)
	}
	return nil
}

// read finds the specification and the script, and says what is wrong with
// them before anything is built.
func (d *demo) read(ctx context.Context, dir string) (*drill.Script, *schema.Spec, error) {
	d.dir = d.spec
	var text []byte
	name := d.script
	if d.spec == "" {
		d.dir = filepath.Join(dir, "example")
		files, err := fs.Sub(examples.FS, demoExample)
		if err == nil {
			err = os.CopyFS(d.dir, files)
		}
		if err == nil {
			text, err = fs.ReadFile(files, demoDrill)
		}
		if err != nil {
			return nil, nil, err
		}
		if d.script == "" {
			name = demoDrill
		}
	}
	if info, err := os.Stat(d.dir); err != nil {
		return nil, nil, fmt.Errorf("--spec: %w", err)
	} else if !info.IsDir() {
		return nil, nil, fmt.Errorf("--spec: %s is not a directory", d.dir)
	}
	spec, err := evaluateFolder(ctx, d.dir)
	var invalid *drill.InvalidError
	if errors.As(err, &invalid) {
		return nil, nil, fmt.Errorf("the specification cannot be drilled:\n%w", err)
	} else if err != nil {
		return nil, nil, err
	}
	adaptToLab(spec)
	if d.script != "" {
		if text, err = os.ReadFile(d.script); err != nil {
			return nil, nil, err
		}
	}
	if name == "" {
		return drill.Standard(spec), spec, nil
	}
	script, err := drill.Parse(name, bytes.NewReader(text))
	if err == nil {
		err = script.Fits(spec)
	}
	return script, spec, err
}

// place is where the hosts are.
func (d *demo) place(ctx context.Context, dir string, layout *netns.Layout, spec *schema.Spec) (labSite, error) {
	if !d.memory && os.Geteuid() == 0 {
		_, _ = netns.Sweep("") // what a demo that was killed has left
		st, err := newNetnsSite(ctx, dir, layout)
		if err == nil || ctx.Err() != nil {
			return st, err
		}
		d.say("Network namespaces cannot be made here, so that the hosts are in memory: %v", err)
	}
	if len(spec.SyncGroups) > 0 {
		return nil, errNoSyncGroups
	}
	return newMemorySite(dir, layout), nil
}

// leaveEnvironment forgets what the user's environment would lead a lab to: a
// repository, as where a hook of Git starts the demo, a proxy, an account.
func leaveEnvironment() {
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		for _, prefix := range []string{"HACTL_", "CLOUDFLARE_", "GIT_"} {
			if strings.HasPrefix(name, prefix) {
				_ = os.Unsetenv(name)
			}
		}
		switch strings.ToUpper(name) {
		case "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY":
			_ = os.Unsetenv(name)
		}
	}
}

// labEnvironment has the lab's agents reach the simulator and nothing else.
func labEnvironment(l *lab) {
	_ = os.Setenv("CLOUDFLARE_BASE_URL", l.base+cfsim.Prefix)
	_ = os.Setenv("CLOUDFLARE_ACCOUNT_ID", l.sim.Account())
	_ = os.Setenv("CLOUDFLARE_API_TOKEN", simToken)
}

// open starts the hosts with the specification.
func (d *demo) open(ctx context.Context, spec *schema.Spec, page string) error {
	hosts := len(spec.Hosts)
	d.say("One specification: %s, %s, %s. What a single failure cuts off:", count(hosts, "host"), count(len(spec.VirtualRouters), "Virtual Router"), count(len(spec.LoadBalancers)+len(spec.PrivateLoadBalancers), "load balancer"))
	if err := render.Spof(d.out, topology.New(spec).Spof(1), d.style); err != nil {
		return err
	}
	d.say("It is pushed to a Git repository. The hosts are %s; each has an agent, and the edge is a simulated Cloudflare.", d.lab.site.what())
	if page != "" {
		fmt.Fprintf(d.out, "The page: %s\n", page)
	}
	d.lab.begin = d.lab.power
	abs, err := filepath.Abs(d.dir)
	if err != nil {
		return err
	}
	_, err = d.player.Open(ctx, abs)
	return err
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// say prints a sentence of the story.
func (d *demo) say(format string, args ...any) {
	_, _ = fmt.Fprintf(d.out, "\n%s\n\n", d.style.Emphasis("▌ "+render.Plain(fmt.Sprintf(format, args...))))
}

func (d *demo) begun(s drill.Step) {
	if s.Verb == drill.Say {
		d.say("%s", s.Args[0])
		return
	}
	if len(d.played) > 0 || s.Verb != drill.Push { // The first push has been told.
		fmt.Fprintln(d.out, d.style.Emphasis("$ "+render.Plain(s.String())))
	}
}

func (d *demo) ended(o *drill.Outcome) {
	d.played = append(d.played, o)
	if o.Step.Verb != drill.Say {
		d.recent.Add(line(o))
	}
	_ = render.DrillStep(d.out, o, d.style)
	if slices.ContainsFunc(o.Deviations, func(s string) bool { return strings.HasPrefix(s, "not in time") }) {
		d.last()
	}
}

// explain adds to an error what the agents have said last.
func (d *demo) explain(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	d.last()
	return err
}

// last prints what the agents have said last.
func (d *demo) last() {
	for _, host := range d.lab.hosts(nil) {
		lines := strings.Split(strings.TrimSpace(d.lab.site.log(host)), "\n")
		fmt.Fprintf(d.out, "\nlast of %s:\n  %s\n", host, render.Plain(strings.Join(lines[max(0, len(lines)-5):], "\n  ")))
	}
}

// steps plays what is read from the input, until ctx ends.
func (d *demo) steps(ctx context.Context, in io.Reader, page string) {
	d.say("It goes on until you interrupt it; a step such as \"kill HOST\" is played at once. The page: %s", page)
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(in); s.Scan(); {
			select {
			case lines <- s.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case line, more := <-lines:
			if !more {
				lines = nil
				continue
			}
			script, err := drill.Parse("step", strings.NewReader(line))
			if err == nil {
				script.Steps[0].Line = 0
				_, err = d.player.Play(ctx, script)
			}
			if err != nil && ctx.Err() == nil && strings.TrimSpace(line) != "" {
				fmt.Fprintln(d.out, render.Plain(strings.TrimPrefix(err.Error(), "step:1: ")))
			}
		case <-ctx.Done():
			return
		}
	}
}

// page serves the page, and says where.
func (d *demo) page(l net.Listener) (where string, end func()) {
	server := &http.Server{Handler: d.lab.pages(&d.recent), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(l) }()
	return "http://" + l.Addr().String() + "/", func() { _ = server.Close() }
}
