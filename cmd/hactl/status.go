package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/engines/vrrp"
	"github.com/hactl/hactl/reconcile/render"
	"github.com/hactl/hactl/reconcile/status"
	"github.com/hactl/hactl/schema"
)

func newStatus() *cobra.Command {
	s := &statusCommand{}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how the hosts are",
		Long: `status asks this machine's agent, or its VRRP engine where no agent runs. With a
specification (-C or --repo) it asks the agents of all hosts, all at once: those
for which the specification has an agent's URL.

Exit code: 0 all that were asked are well, 1 one is not, or does not answer.`,
		Args: noArguments,
		RunE: s.run,
	}
	s.spec.register(cmd)
	cmd.Flags().Lookup("dir").DefValue = "" // Without it, one is not read.
	s.host.register(cmd)
	s.ask.register(cmd)
	cmd.Flags().StringVarP(&s.output, "output", "o", "text", "text or json")
	cmd.Flags().BoolVar(&s.watch, "watch", false, "show it again every 2 seconds")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

type statusCommand struct {
	spec   specFlags
	host   hostFlags
	ask    askFlags
	output string
	watch  bool
}

func (s *statusCommand) run(cmd *cobra.Command, _ []string) error {
	if s.output != "text" && s.output != "json" {
		return fmt.Errorf("-o %s: want text or json", s.output)
	}
	show, err := s.shower(cmd)
	if err != nil || !s.watch {
		if err == nil {
			err = show(cmd.Context())
		}
		return err
	}
	for {
		if s.output == "text" && isTerminal(cmd.OutOrStdout()) {
			fmt.Fprint(cmd.OutOrStdout(), "\x1b[2J\x1b[H")
		}
		if err := show(cmd.Context()); err != nil && !errors.Is(err, errUnwell) {
			return err
		}
		select {
		case <-time.After(2 * time.Second):
		case <-cmd.Context().Done():
			return nil
		}
	}
}

// errUnwell has been shown.
var errUnwell error = exitError

// shower returns what shows the status once.
func (s *statusCommand) shower(cmd *cobra.Command) (func(context.Context) error, error) {
	w := cmd.OutOrStdout()
	if !cmd.Flags().Changed("dir") && s.spec.repo == "" {
		return func(ctx context.Context) error { return s.local(ctx, w) }, nil
	}
	l, err := s.spec.load(cmd.Context(), cmd.ErrOrStderr())
	if err != nil {
		return nil, err
	}
	own, err := s.host.find(l.spec)
	if err != nil {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(l.spec.Hosts))
	return func(ctx context.Context) error {
		answers, err := s.ask.gather(ctx, l.spec, names, own, s.host.dir())
		if err != nil {
			return err
		}
		if s.output == "json" {
			err = encodeAnswers(w, answers)
		} else {
			err = showHosts(render.Clean{W: w}, l.spec, answers, time.Now())
		}
		if err == nil && slices.ContainsFunc(answers, answer.unwell) {
			err = errUnwell
		}
		return err
	}, nil
}

// local shows this machine: its agent, else its engine alone.
func (s *statusCommand) local(ctx context.Context, w io.Writer) error {
	var r agentReport
	err := status.DialLocal(agentSocket(s.host.dir())).Report(ctx, &r)
	if absent(err) {
		return s.engine(ctx, w)
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: ask as root, or as the user that hactl runs as", err)
	}
	if err != nil {
		return err
	}
	if s.output == "json" {
		err = encode(w, r)
	} else {
		w = render.Clean{W: w}
		showAgent(w, &r, time.Now())
		if r.Engine != nil {
			fmt.Fprintln(w)
			err = showEngine(w, r.Engine, time.Now())
		}
	}
	if err == nil && (answer{report: &r}).unwell() {
		err = errUnwell
	}
	return err
}

// engine shows a VRRP engine that has no agent.
func (s *statusCommand) engine(ctx context.Context, w io.Writer) error {
	client, err := host.Dial(ctx, s.host.dir())
	switch {
	case absent(err):
		return fmt.Errorf("nothing of hactl runs here (%s): hactl run starts it", s.host.dir())
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: ask as root, or as the user that hactl runs as", err)
	case err != nil:
		return err
	}
	defer client.Close()
	st, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if s.output == "json" {
		return encode(w, agentReport{Version: reportVersion, Ready: "no agent runs here", Engine: st})
	}
	return showEngine(render.Clean{W: w}, st, time.Now())
}

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func encodeAnswers(w io.Writer, answers []answer) error {
	type one struct {
		Host   string       `json:"host"`
		Err    string       `json:"unknown,omitempty"`
		Report *agentReport `json:"report,omitempty"`
	}
	list := make([]one, 0, len(answers))
	for _, a := range answers {
		o := one{Host: a.host, Report: a.report}
		if a.err != nil {
			o.Err = a.err.Error()
		}
		list = append(list, o)
	}
	return encode(w, map[string]any{"version": reportVersion, "hosts": list})
}

// unwell tells whether somebody should look after a host. One that nobody can
// ask is not counted.
func (a answer) unwell() bool {
	if a.err != nil {
		return !errors.Is(a.err, errNoAgent)
	}
	return a.report.note() != ""
}

func ago(now, t time.Time) string { return now.Sub(t).Round(time.Second).String() }

// showHosts writes a line for each host, then who has which Virtual Router.
func showHosts(w io.Writer, spec *schema.Spec, answers []answer, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "HOST\tREVISION\tFOR\tLEADS\tACTIVE FOR\tNOTE")
	type seat struct{ host, state string }
	seats := map[string][]seat{}
	for _, a := range answers {
		if a.err != nil {
			fmt.Fprintf(t, "%s\t?\t\t\t\tunknown: %s\n", a.host, firstLine(a.err.Error()))
			continue
		}
		r := a.report
		leads := ""
		if r.Edge.Leadership.Mine {
			leads = "yes"
		}
		var active []string
		if r.Engine != nil {
			for i := range r.Engine.Routers {
				v := &r.Engine.Routers[i]
				seats[v.Name] = append(seats[v.Name], seat{a.host, v.State})
				if v.State == "active" {
					active = append(active, v.Name)
				}
			}
		}
		since := ""
		if !r.Follow.Accepted.IsZero() {
			since = ago(now, r.Follow.Accepted)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", a.host, cmp.Or(short(r.Follow.Revision), "none"), since, leads, strings.Join(active, " "), r.note())
	}
	for _, a := range answers {
		if a.report != nil && a.report.Edge.Leadership.Mine {
			fmt.Fprintln(t, "\nEDGE\tAS\tREAD\tOBJECTS\tPENDING\tDRIFT\tNOTE")
			e := a.report.Edge
			note := cmp.Or(e.Err, e.Waits)
			if n := len(e.Conflicts); n > 0 && note == "" {
				note = fmt.Sprintf("%d in conflict", n)
			}
			read := "never"
			if !e.Looked.IsZero() {
				read = ago(now, e.Looked) + " ago"
			}
			fmt.Fprintf(t, "by %s\t%s\t%s\t%d\t%d\t%d\t%s\n", a.host, cmp.Or(short(e.Revision), "not applied"), read, e.Objects, len(e.Pending), len(e.Drift), firstLine(note))
			if text := healthText(e.Health, spec, now); text != "" {
				fmt.Fprintf(t, "health: %s\n", text)
			}
		}
	}
	if len(seats) > 0 {
		fmt.Fprintln(t, "\nROUTER\tACTIVE\tOTHERS")
	}
	for _, name := range slices.Sorted(maps.Keys(seats)) {
		var active, others []string
		for _, s := range seats[name] {
			if s.state == "active" {
				active = append(active, s.host)
			} else {
				others = append(others, s.host+" ("+s.state+")")
			}
		}
		who := cmp.Or(strings.Join(active, " and "), "nobody that answers")
		if len(active) > 1 {
			who += ": TWO"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", name, who, strings.Join(others, ", "))
	}
	return t.Flush()
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// note is what to know first about an agent, "" if all is well.
func (r *agentReport) note() string {
	f, e := r.Follow, r.Edge
	switch {
	case r.Ready != "yes":
		return r.Ready
	case f.Refused != nil:
		return fmt.Sprintf("refuses %s (%s): %s", short(f.Refused.Revision), f.Refused.Reason, firstLine(f.Refused.Message))
	case f.Suspended != nil:
		return strings.TrimSpace("suspended until " + f.Suspended.Until.Format(time.DateTime) + " " + f.Suspended.Reason)
	case f.Fetch.Err != "":
		return "cannot read its specification: " + firstLine(f.Fetch.Err)
	case e.Err != "":
		return "the edge: " + firstLine(e.Err)
	case e.Leadership.Mine && e.Waits != "":
		return "the edge waits: " + firstLine(e.Waits)
	case f.Unfit != "":
		return f.Unfit
	case len(r.Problems) > 0:
		return firstLine(r.Problems[0])
	case f.Unsaved != "":
		return f.Unsaved
	case f.Damaged != "":
		return f.Damaged
	case f.Restored:
		return "runs what was on its disk; its source has not confirmed it yet"
	case len(r.Drift) > 0:
		return fmt.Sprintf("configured by somebody else: %d steps", len(r.Drift))
	}
	if r.Engine != nil {
		for i := range r.Engine.Routers {
			if v := &r.Engine.Routers[i]; v.Problem != "" || v.State == vrrp.StateFault.String() {
				return fmt.Sprintf("%s is in %s: %s", v.Name, v.State, cmp.Or(v.Problem, v.Cause))
			}
		}
	}
	return ""
}

// showAgent writes what an agent follows and whether it leads.
func showAgent(w io.Writer, r *agentReport, now time.Time) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	f := r.Follow
	line("agent", "pid %d, up %s, %s", r.PID, ago(now, r.Started), cmp.Or(r.Host, "of no host"))
	if r.Ready != "yes" {
		line("NOT READY", "%s", r.Ready)
	}
	source := "not read yet"
	switch {
	case f.Fetch.Err != "":
		source = "CANNOT BE READ: " + f.Fetch.Err
	case !f.Fetch.Success.IsZero():
		source = "read " + ago(now, f.Fetch.Success) + " ago"
	}
	line("source", "%s, %s", f.Fetch.Origin, source)
	if f.Revision != "" {
		text := f.Revision + ", for " + ago(now, f.Accepted)
		if f.Signer != "" {
			text += ", signed by " + f.Signer
		}
		if f.Restored {
			text += "; it was on the disk, and the source has not confirmed it yet"
		}
		line("runs", "%s", text)
	}
	if f.Refused != nil {
		line("REFUSED", "%s, %s ago (%s)", f.Refused.Revision, ago(now, f.Refused.At), f.Refused.Reason)
		for l := range strings.Lines(f.Refused.Message) {
			line("", "%s", strings.TrimRight(l, "\n"))
		}
	}
	if f.Suspended != nil {
		line("SUSPENDED", "until %s %s", f.Suspended.Until.Format(time.DateTime), f.Suspended.Reason)
	}
	for _, problem := range append([]string{f.Unfit, f.Unsaved, f.Damaged, r.EngineError}, r.Problems...) {
		if problem != "" {
			line("PROBLEM", "%s", problem)
		}
	}
	for _, s := range r.Drift {
		line("drift", "%s: this host was configured by somebody else", s.ID)
	}
	r.showEdge(line, now)
	_ = t.Flush()
}

func (r *agentReport) showEdge(line func(name, format string, args ...any), now time.Time) {
	e := r.Edge
	switch {
	case e.Leadership.Mode == "none":
		return
	case e.Leadership.Err != "":
		line("leader", "unknown: %s", e.Leadership.Err)
	case e.Leadership.Mine:
		line("leader", "this host (%s)", e.Leadership.Mode)
	case e.Leadership.Leader == "":
		line("leader", "nobody is known to lead (%s)", e.Leadership.Mode)
	default:
		line("leader", "%s (%s)", e.Leadership.Leader, e.Leadership.Mode)
	}
	if !e.Leadership.Mine {
		return
	}
	if e.Waits != "" {
		line("edge", "WAITS: %s", e.Waits)
	}
	if e.Revision != "" {
		line("edge", "as %s has it, since %s; read %s ago; %d objects", short(e.Revision), ago(now, e.Applied), ago(now, e.Looked), e.Objects)
	}
	if e.Err != "" {
		line("edge", "FAILS: %s", e.Err)
	}
	for _, s := range e.Pending {
		line("pending", "%s %s", s.Action, s.ID)
	}
	for _, s := range e.Drift {
		line("drift", "%s %s", s.Action, s.ID)
	}
	for _, f := range e.Impact {
		line("traffic", "%s %s", f.ID, f.Message)
	}
	for _, c := range e.Conflicts {
		line("conflict", "%s %s", c.ID, c.Message)
	}
	if text := healthText(e.Health, nil, now); text != "" {
		line("health", "%s", text)
	}
	if r.API != nil {
		line("requests", "%d sent, %d left in this window", r.API.Requests, r.API.Left)
	}
}

// showEngine writes a line for each Virtual Router and each check.
func showEngine(w io.Writer, s *host.Status, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "engine\tpid %d\tup %s\trevision %s\n", s.PID, ago(now, s.Started), engineRevision(s))
	if !s.Scheduling.FIFO {
		fmt.Fprintf(t, "\tordinary scheduling: %s\n", s.Scheduling.Problems)
	}
	fmt.Fprintln(t, "\nROUTER\tSTATE\tFOR\tCAUSE\tPRIORITY\tINTERFACE\tADDRESSES\tHEARS\tNOTE")
	for i := range s.Routers {
		showRouter(t, &s.Routers[i], now)
	}
	if len(s.Checks)+len(s.Untried) > 0 {
		fmt.Fprintln(t, "\nCHECK\tRESULT\tFOR\tDETAIL")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Checks)) {
		c := s.Checks[name]
		result := "passes"
		if !c.OK {
			result = "fails"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", name, result, ago(now, c.Since), c.Detail)
	}
	for _, name := range s.Untried {
		fmt.Fprintf(t, "%s\tnone yet\t\t\n", name)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if s.Agents == 0 {
		fmt.Fprintln(w, "\nNo hactl run is attached: checks are not tried, hooks do not run, and no change is followed.")
	}
	if len(s.Routers) > 0 {
		fmt.Fprintln(w, "\n* is on the interface now")
	}
	return nil
}

func engineRevision(s *host.Status) string {
	switch {
	case s.Revision != "":
		return short(s.Revision)
	case len(s.Routers) == 0:
		return "none"
	}
	return "none: changed by hand"
}

func showRouter(w io.Writer, r *host.RouterStatus, now time.Time) {
	hears := "-"
	if r.Leader.IsValid() && r.State != "active" {
		hears = fmt.Sprintf("%v (%d)", r.Leader, r.LeaderPriority)
	}
	var addresses []string
	for _, p := range r.Addresses {
		addresses = append(addresses, present(p, r.Present))
	}
	note := r.Problem
	switch {
	case note != "":
	case r.Maintenance:
		note = "in maintenance"
	case r.Checks.Waiting:
		note = "waits for its checks"
	case r.Checks.Fault:
		note = "a check fails"
	case r.Elsewhere.IsValid():
		note = r.Waits()
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", r.Name, r.State, ago(now, r.Since), r.Cause, r.Priority, r.Interface, strings.Join(addresses, " "), hears, note)
}

// present marks an address that is on its interface.
func present(p netip.Prefix, there []netip.Prefix) string {
	if slices.Contains(there, p) {
		return p.String() + "*"
	}
	return p.String()
}
