package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hactl/hactl/engines/host"
)

func newInstall() *cobra.Command {
	i := &installer{}
	var credentials []string
	cmd := &cobra.Command{
		Use:   "install [flags] [-- FLAGS OF RUN]",
		Short: "Install or upgrade this binary as systemd units of this host",
		Long: `install copies this binary, makes the user hactl, writes two units and starts
them: hactl-engine.service is the VRRP engine, the only one with capabilities
(CAP_NET_ADMIN, CAP_NET_RAW); hactl.service is hactl run with the flags after --.
Both are sandboxed. Put changes into drop-ins (systemctl edit).

Run it again to upgrade or to change flags: what is as wanted stays, and an
engine that runs goes on in the new binary without a transition. Other settings
of its unit take effect when it is started next.

The password of a Virtual Router and the like are credentials: --credential
vrrp=/etc/hactl/vrrp.password goes with password: credential: "vrrp" in the
specification, and the file need be nobody's but root's. A flag of run that
names the file of a credential reads the credential. The one that is called
` + cloudflareCredential + ` is the API token for Cloudflare.`,
		Example: `  hactl install --credential vrrp=/etc/hactl/vrrp.password -- -C /etc/hactl
  hactl install --credential git=/root/git.token -- --repo https://git.example.com/edge --token-file /root/git.token`,
		RunE: func(cmd *cobra.Command, args []string) error {
			i.out = cmd.OutOrStdout()
			if n := cmd.ArgsLenAtDash(); n > 0 || n < 0 && len(args) > 0 {
				return fmt.Errorf("%s: flags of run come after --", args[0])
			}
			i.run = args
			for _, c := range credentials {
				parsed, err := parseCredential(c)
				if err != nil {
					return err
				}
				i.credentials = append(i.credentials, parsed)
			}
			return i.install(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&i.bin, "bin", "/usr/local/bin/hactl", "where the binary goes")
	flags.StringArrayVar(&credentials, "credential", nil, "NAME=FILE, a secret that systemd passes on; repeatable")
	flags.BoolVar(&i.realtime, "realtime", true, "exact timers on a busy host: real-time scheduling and locked memory for the engine")
	flags.StringVar(&i.root, "root", "", "write below this directory, as for an image, and start nothing")
	flags.BoolVar(&i.dryRun, "dry-run", false, "say what would be written and done")
	flags.BoolVar(&i.remove, "uninstall", false, "hand over, stop, and remove the units; the binary, the user and the state stay")
	return cmd
}

// installer is one run of hactl install.
type installer struct {
	installation
	root           string
	dryRun, remove bool
	out            io.Writer
}

const (
	unitDir  = "/etc/systemd/system"
	usersDir = "/etc/sysusers.d"
)

// installed is how this host is before.
type installed struct {
	user, sysusers bool
	engine, agent  unitState
	answers        bool // an engine does
}

type unitState struct {
	active, enabled, stale bool
	pid                    int
}

func (i *installer) install(ctx context.Context) error {
	if err := i.validate(); err != nil {
		return err
	}
	var now installed
	if i.root == "" {
		if os.Geteuid() != 0 && !i.dryRun {
			return errors.New("only root can install: use sudo, or --dry-run, or --root DIR")
		}
		var err error
		if now, err = i.look(ctx); err != nil {
			return err
		}
	}
	plan := i.planRemoval
	if !i.remove {
		plan = i.plan
	}
	steps, err := plan(now)
	if err != nil {
		return err
	}
	if len(steps) == 0 {
		fmt.Fprintln(i.out, "nothing to do")
		return nil
	}
	for _, s := range steps {
		fmt.Fprintln(i.out, s)
		if i.dryRun {
			if len(s.content) > 0 && s.path != i.bin {
				for line := range strings.Lines(string(s.content)) {
					fmt.Fprintln(i.out, strings.TrimRight("    "+line, " \n"))
				}
			}
			continue
		}
		if err := i.do(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// validate refuses what would make units that do not work, or that show secrets.
func (i *installer) validate() error {
	if !filepath.IsAbs(i.bin) || filepath.Clean(i.bin) != i.bin || hidden(i.bin) || !plain.MatchString(i.bin) {
		return fmt.Errorf("--bin %s: want an absolute path that the units see: not below /home, /root, /run/user or /tmp", i.bin)
	}
	for n, c := range i.credentials {
		if slices.ContainsFunc(i.credentials[:n], func(o credentialFile) bool { return o.name == c.name }) {
			return fmt.Errorf("--credential %s: given twice", c.name)
		}
		if info, err := os.Stat(c.path); i.root == "" && !i.dryRun && err != nil {
			return fmt.Errorf("--credential %s: %w", c.name, err)
		} else if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o007 != 0 {
			return fmt.Errorf("--credential %s: everybody can read %s: chmod 600", c.name, c.path)
		}
	}
	if i.remove {
		if len(i.run) > 0 {
			return errors.New("--uninstall takes no flags of run")
		}
		return nil
	}
	for _, a := range i.run {
		if strings.ContainsFunc(a, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("%q: no control characters", a)
		}
		if err := showsSecret(a); err != nil {
			return err
		}
	}
	cmd := newRun()
	if err := cmd.ParseFlags(i.run); err != nil {
		return fmt.Errorf("flags of run: %w", err)
	}
	if rest := cmd.Flags().Args(); len(rest) > 0 {
		return fmt.Errorf("flags of run: %s is none", rest[0])
	}
	for name, why := range map[string]string{
		"runtime": "the units have " + runtimeDir, "external-engine": "the unit has it already",
	} {
		if cmd.Flags().Changed(name) {
			return fmt.Errorf("flags of run: --%s: %s", name, why)
		}
	}
	dir, repo := cmd.Flags().Changed("dir"), cmd.Flags().Changed("repo")
	if dir == repo {
		return errors.New("say after -- where the specification is: either -C DIR or --repo URL")
	}
	for _, name := range []string{"ref", "path"} {
		if dir && cmd.Flags().Changed(name) {
			return fmt.Errorf("flags of run: --%s goes with --repo", name)
		}
	}
	var err error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if err == nil {
			err = i.visible(f)
		}
	})
	return err
}

// visible refuses a flag of run that names a file which the unit does not find.
func (i *installer) visible(f *pflag.Flag) error {
	if !strings.HasSuffix(f.Name, "-file") && !slices.Contains(pathFlags, f.Name) {
		return nil
	}
	paths := []string{f.Value.String()}
	if many, ok := f.Value.(pflag.SliceValue); ok {
		paths = many.GetSlice()
	}
	for _, path := range paths {
		switch {
		case slices.ContainsFunc(i.credentials, func(c credentialFile) bool { return c.path == path }):
		case !filepath.IsAbs(path):
			return fmt.Errorf("flags of run: --%s %s: a unit needs an absolute path", f.Name, path)
		case hidden(path):
			return fmt.Errorf("flags of run: --%s %s: the unit does not see /home, /root, /run/user and /tmp: put it elsewhere, as in /etc/hactl, or make a secret a --credential", f.Name, path)
		}
	}
	return nil
}

// pathFlags are the flags of run that name files, beside all that end in -file.
var pathFlags = []string{"dir", "ssh-key", "known-hosts", "state", "signers", "tls-cert", "tls-key"}

// hidden reports whether the sandbox hides a path.
func hidden(path string) bool {
	path = filepath.Clean(path)
	for _, dir := range []string{"/home", "/root", "/run/user", "/tmp", "/var/tmp"} {
		if path == dir || strings.HasPrefix(path, dir+"/") {
			return true
		}
	}
	return false
}

// showsSecret refuses an argument that has a password in a URL: every user of
// the host can read what is in a unit and in the arguments of a process.
func showsSecret(argument string) error {
	value := argument
	if strings.HasPrefix(argument, "-") {
		_, value, _ = strings.Cut(argument, "=")
	}
	u, err := url.Parse(value)
	if err != nil {
		if strings.Contains(value, "://") && strings.Contains(value, "@") {
			return errors.New("flags of run: this is no URL, and may hold a secret")
		}
		return nil
	}
	if _, password := u.User.Password(); password || u.User != nil && (u.Scheme == "http" || u.Scheme == "https") {
		return fmt.Errorf("flags of run: the URL of %s has a secret in it, which everybody on this host could read: use --token-file with a --credential", u.Host)
	}
	return nil
}

// look asks what there is.
func (i *installer) look(ctx context.Context) (installed, error) {
	var p installed
	_, err := user.Lookup(userName)
	p.user = err == nil
	_, err = exec.LookPath("systemd-sysusers")
	p.sysusers = err == nil
	if _, err := exec.LookPath("systemctl"); err != nil {
		if i.dryRun {
			return p, nil
		}
		return p, errors.New("there is no systemctl here: --root DIR writes the units elsewhere")
	}
	for name, state := range map[string]*unitState{engineName: &p.engine, agentName: &p.agent} {
		out, err := exec.CommandContext(ctx, "systemctl", "show", "-p", "ActiveState,UnitFileState,NeedDaemonReload,MainPID", name).Output()
		if err != nil {
			if i.dryRun {
				return p, nil
			}
			return p, fmt.Errorf("systemd does not answer: %w", withOutput(err))
		}
		for line := range strings.Lines(string(out)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch key {
			case "ActiveState":
				state.active = value == "active" || value == "reloading" || value == "activating"
			case "UnitFileState":
				state.enabled = value == "enabled"
			case "NeedDaemonReload":
				state.stale = value == "yes"
			case "MainPID":
				state.pid, _ = strconv.Atoi(value)
			}
		}
	}
	client, err := host.Dial(ctx, runtimeDir)
	if err != nil {
		return p, nil //nolint:nilerr // Then none answers.
	}
	defer client.Close()
	p.answers = true
	if !p.engine.active && !i.remove {
		pid := 0
		if st, err := client.Status(ctx); err == nil {
			pid = st.PID
		}
		return p, fmt.Errorf("an engine that is no unit has this host's addresses, process %d: end the hactl run that started it, which hands over, and install then", pid)
	}
	return p, nil
}

// plan is what makes this host as it is wanted, in order.
func (i *installer) plan(now installed) ([]step, error) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return nil, fmt.Errorf("read this binary: %w", err)
	}
	var steps []step
	// write plans a file, and reports whether it is another one than before.
	write := func(path string, mode os.FileMode, content []byte) bool {
		former, err := os.ReadFile(i.at(path))
		info, serr := os.Lstat(i.at(path))
		if err == nil && serr == nil && info.Mode() == mode && bytes.Equal(former, content) {
			return false
		}
		steps = append(steps, step{path: path, mode: mode, content: content})
		return true
	}
	run := func(command ...string) { steps = append(steps, step{command: command}) }

	binary := write(i.bin, 0o755, self)
	switch {
	case i.root != "":
		write(usersDir+"/hactl.conf", 0o644, []byte(usersFile))
	case now.user:
	case now.sysusers:
		write(usersDir+"/hactl.conf", 0o644, []byte(usersFile))
		run("systemd-sysusers", usersDir+"/hactl.conf")
	default:
		run("useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/var/lib/hactl", "--shell", "/usr/sbin/nologin", userName)
	}
	engine := write(unitDir+"/"+engineName, 0o644, []byte(engineUnit(i.installation)))
	agent := write(unitDir+"/"+agentName, 0o644, []byte(agentUnit(i.installation)))
	if i.root != "" {
		for _, name := range []string{engineName, agentName} {
			link := unitDir + "/multi-user.target.wants/" + name
			if to, err := os.Readlink(i.at(link)); err != nil || to != unitDir+"/"+name {
				steps = append(steps, step{path: link, link: unitDir + "/" + name})
			}
		}
		return steps, nil
	}
	if engine || agent || now.engine.stale || now.agent.stale {
		run("systemctl", "daemon-reload")
	}
	switch {
	case !now.engine.active:
		run("systemctl", "enable", "--now", engineName)
	case !now.engine.enabled:
		run("systemctl", "enable", engineName)
	}
	// What runs may be another binary than the one that was here, if an upgrade
	// was refused.
	behind := now.engine.active && (binary || !i.runs(now.engine.pid))
	switch {
	case behind && now.answers:
		steps = append(steps, step{upgrade: true})
	case behind: // one that does not get up
		run("systemctl", "restart", engineName)
	}
	if !now.agent.active || !now.agent.enabled {
		run("systemctl", "enable", "--now", agentName)
	}
	if now.agent.active && (agent || now.agent.stale || binary || !i.runs(now.agent.pid)) {
		run("systemctl", "restart", agentName)
	}
	return steps, nil
}

// planRemoval lets the engine hand over, and removes the units.
func (i *installer) planRemoval(installed) ([]step, error) {
	var steps []step
	for _, name := range []string{agentName, engineName} {
		path := unitDir + "/" + name
		if _, err := os.Lstat(i.at(path)); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if i.root == "" {
			steps = append(steps, step{command: []string{"systemctl", "disable", "--now", name}})
		} else if _, err := os.Lstat(i.at(unitDir + "/multi-user.target.wants/" + name)); err == nil {
			steps = append(steps, step{path: unitDir + "/multi-user.target.wants/" + name})
		}
		steps = append(steps, step{path: path})
	}
	if len(steps) > 0 && i.root == "" {
		steps = append(steps, step{command: []string{"systemctl", "daemon-reload"}})
	}
	return steps, nil
}

// at is where a path is below the root.
func (i *installer) at(path string) string { return filepath.Join(i.root, path) }

// runs reports whether a process is of the binary in its place.
func (i *installer) runs(pid int) bool {
	own, err := os.Stat(i.bin)
	other, perr := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && perr == nil && os.SameFile(own, other)
}
