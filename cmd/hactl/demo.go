package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
	"github.com/hactl/hactl/examples"
	"github.com/hactl/hactl/reconcile/render"
)

// demoExample is the specification that the demo tells its story with.
const demoExample = "lb-public-hostnames/edge.cue"

// demoPush is what the demo changes in it: the weight of an origin, a new
// origin, and a tunnel that goes.
var demoPush = []struct{ before, after string }{
	{`		origins: tunnel: {
			tunnel: "tokyo"
			header: Host: ["tokyo.example.com"]
		}
`, `		origins: {
			tunnel: {
				tunnel: "tokyo"
				weight: 0.8
				header: Host: ["tokyo.example.com"]
			}
			cloud: {address: "203.0.113.80", weight: 0.2}
		}
`},
	{`		origins: tunnel: {
			tunnel: "osaka"
			header: Host: ["osaka.example.com"]
		}
`, `		origins: colo: address: "198.51.100.80"
`},
	{`	osaka: {
		connectors: ["osaka01"]
		ingress: [{hostname: "osaka.example.com", service: "http://127.0.0.1:8080"}]
	}
`, ``},
}

func newDemo() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "See it work on this machine, without an account",
		Long: `demo makes a Git repository from an example, starts the simulated Cloudflare, and
runs hactl against the two: a first apply, a push, a mistake, and a change
behind its back. It needs git, and leaves nothing behind.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := os.MkdirTemp("", "hactl-demo-")
			if err != nil {
				return err
			}
			defer func() { _ = os.RemoveAll(dir) }()
			w := cmd.OutOrStdout()
			d := &demo{ctx: cmd.Context(), out: w, style: style(cmd, w), dir: dir, began: time.Now()}
			return d.tell()
		},
	}
}

// demo is one telling of the story. Every command in it is a real process.
type demo struct {
	ctx   context.Context
	out   io.Writer
	style render.Style
	dir   string
	began time.Time
	env   []string
	sim   *cfsim.Server
	api   string // base URL of the simulator
}

func (d *demo) tell() error {
	if _, err := exec.LookPath("git"); err != nil {
		return errors.New("the demo needs git")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	d.sim = cfsim.New(cfsim.Options{Zones: []string{"example.com"}})
	d.api = "http://" + l.Addr().String() + cfsim.Prefix
	d.env = append(os.Environ(),
		"CLOUDFLARE_BASE_URL="+d.api, "CLOUDFLARE_ACCOUNT_ID="+d.sim.Account(), "CLOUDFLARE_API_TOKEN="+simToken,
		"HACTL_STATE_DIR="+filepath.Join(d.dir, "state"), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=demo", "GIT_AUTHOR_EMAIL=demo@example.com", "GIT_COMMITTER_NAME=demo", "GIT_COMMITTER_EMAIL=demo@example.com",
	)
	ctx, cancel := context.WithCancel(d.ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- serve(ctx, l, d.sim) }()
	if err := errors.Join(d.story(), d.ctx.Err()); err != nil {
		return err
	}
	cancel()
	if err := <-served; err != nil {
		return err
	}
	d.say("That took %s. Go on with your own:", time.Since(d.began).Round(100*time.Millisecond))
	_, err = fmt.Fprint(d.out, "  hactl init my-edge && hactl validate -C my-edge\n  hactl sim        # the same simulated Cloudflare, to play with\n")
	return err
}

func (d *demo) story() error {
	spec, err := examples.FS.ReadFile(demoExample)
	if err != nil {
		return err
	}
	d.say("A Git repository holds one spec: two sites with a tunnel each, health checks, pools, and a load balancer that fails over.")
	if err := d.repository(string(spec)); err != nil {
		return err
	}
	if err := d.excerpt(string(spec)); err != nil {
		return err
	}
	d.say("Cloudflare is empty (a simulated one, on loopback). What would a first apply do?")
	if err := d.hactl(exitChanges, "diff", "--repo", "edge.git", "--out", "first.plan"); err != nil {
		return err
	}
	d.say("Do exactly that. Steps run in parallel as their needs allow; at the end hactl reads again to be sure.")
	if err := d.hactl(0, "apply", "--yes", "first.plan"); err != nil {
		return err
	}
	d.say("The second look finds nothing to do.")
	if err := d.hactl(0, "diff", "--repo", "edge.git"); err != nil {
		return err
	}

	d.say("A push: Tokyo gives a fifth of its load to a server in the cloud, and Osaka moves from its tunnel to a colocated server.")
	pushed := string(spec)
	for _, change := range demoPush {
		if !strings.Contains(pushed, change.before) {
			return fmt.Errorf("the demo no longer fits %s", demoExample)
		}
		pushed = strings.Replace(pushed, change.before, change.after, 1)
	}
	if err := d.push(pushed, "tokyo: spill into the cloud; osaka: no tunnel"); err != nil {
		return err
	}
	if err := d.hactl(exitChanges, "diff", "--repo", "edge.git", "--out", "push.plan"); err != nil {
		return err
	}
	d.say("Mind the order: the pool lets go of the tunnel before the tunnel goes.")
	if err := d.hactl(0, "apply", "--yes", "push.plan"); err != nil {
		return err
	}

	d.say("Somebody disables a pool in the dashboard, and stretches a weight. hactl sees both, as drift.")
	if err := d.behind(); err != nil {
		return err
	}
	if err := d.hactl(exitChanges, "diff", "--repo", "edge.git", "--out", "drift.plan"); err != nil {
		return err
	}
	if err := d.hactl(0, "apply", "--yes", "drift.plan"); err != nil {
		return err
	}

	d.say("A push with mistakes: all of them are named, at their lines, and nothing is changed.")
	broken := strings.Replace(pushed, `weight: 0.8`, `wieght: 0.8`, 1)
	broken = strings.Replace(broken, `fallbackPool: "osaka"`, `fallbackPool: "osaca"`, 1)
	if err := d.push(broken, "oops"); err != nil {
		return err
	}
	return d.hactl(exitError, "apply", "--yes", "--repo", "edge.git")
}

// say prints a sentence of the story.
func (d *demo) say(format string, args ...any) {
	_, _ = fmt.Fprintf(d.out, "\n%s\n\n", d.style.Emphasis("▌ "+fmt.Sprintf(format, args...)))
}

// excerpt shows the part of the spec that people come for.
func (d *demo) excerpt(spec string) error {
	i := strings.Index(spec, "tunnels:")
	j := strings.Index(spec, "monitors:")
	if i < 0 || j < i {
		return fmt.Errorf("the demo no longer fits %s", demoExample)
	}
	_, err := fmt.Fprintf(d.out, "  %s\n  ...\n", strings.ReplaceAll(strings.TrimSpace(spec[i:j]), "\n", "\n  "))
	return err
}

func (d *demo) bare() string { return filepath.Join(d.dir, "edge.git") }
func (d *demo) work() string { return filepath.Join(d.dir, "edge") }

// repository makes the bare repository and its first commit.
func (d *demo) repository(spec string) error {
	for _, args := range [][]string{
		{"init", "--quiet", "--bare", "--initial-branch=main", d.bare()},
		{"init", "--quiet", "--initial-branch=main", d.work()},
		{"-C", d.work(), "remote", "add", "origin", d.bare()},
	} {
		if err := d.git(args...); err != nil {
			return err
		}
	}
	return d.push(spec, "two sites behind one hostname")
}

func (d *demo) push(spec, message string) error {
	if err := os.WriteFile(filepath.Join(d.work(), "edge.cue"), []byte(spec), 0o644); err != nil {
		return err
	}
	d.prompt("git commit -am %q && git push", message)
	for _, args := range [][]string{{"add", "."}, {"commit", "--quiet", "--message", message}, {"push", "--quiet", "origin", "main"}} {
		if err := d.git(append([]string{"-C", d.work()}, args...)...); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) git(args ...string) error {
	cmd := exec.CommandContext(d.ctx, "git", args...)
	cmd.Env = d.env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w: %s", args[0], err, bytes.TrimSpace(out))
	}
	return nil
}

func (d *demo) prompt(format string, args ...any) {
	_, _ = fmt.Fprintln(d.out, d.style.Emphasis("$ "+fmt.Sprintf(format, args...)))
}

// hactl runs this very program, in the demo's folder.
func (d *demo) hactl(want exitCode, args ...string) error {
	d.prompt("hactl %s", strings.Join(args, " "))
	cmd := exec.CommandContext(d.ctx, "/proc/self/exe", args...)
	cmd.Dir = d.dir
	cmd.Args[0] = os.Args[0]
	cmd.Env, cmd.Stdout, cmd.Stderr = d.env, d.out, d.out
	if !d.style.Color {
		cmd.Env = append(cmd.Env, "NO_COLOR=1")
	}
	err := cmd.Run()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != int(want) {
		return fmt.Errorf("hactl %s: exit code %d expected: %w", args[0], want, err)
	}
	_, err = fmt.Fprintf(d.out, "%s\n", d.style.Faint(fmt.Sprintf("(exit code %d)", want)))
	return err
}

// behind changes the pool "tokyo" as the dashboard would.
func (d *demo) behind() error {
	pools := d.api + "/accounts/" + d.sim.Account() + "/load_balancers/pools"
	var list struct {
		Result []map[string]any `json:"result"`
	}
	if err := d.call(http.MethodGet, pools, nil, &list); err != nil {
		return err
	}
	for _, pool := range list.Result {
		if pool["name"] != "tokyo" {
			continue
		}
		origins, _ := pool["origins"].([]any)
		for _, o := range origins {
			if origin, ok := o.(map[string]any); ok && origin["name"] == "cloud" {
				origin["weight"] = 1
			}
		}
		return d.call(http.MethodPatch, fmt.Sprintf("%s/%s", pools, pool["id"]), map[string]any{"enabled": false, "origins": origins}, nil)
	}
	return errors.New("the demo's pool is gone")
}

func (d *demo) call(method, url string, body, into any) error {
	var content io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(d.ctx, method, url, content)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+simToken)
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(response.Body)
		return fmt.Errorf("%s %s: %s", method, url, b)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(into)
}
