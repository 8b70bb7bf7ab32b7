package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/hactl/hactl/engines/host"
)

// path is the PATH of what is run for a check or a hook. Nothing else is
// inherited: the agent's own environment may hold tokens.
const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// run runs a program as a user, without a shell and without capabilities, in a
// process group of its own. All of that is killed when ctx ends, and with alone also what the program
// has left there at its end. It returns when ctx has ended even if a process
// cannot be killed (one that hangs in the kernel); over is then closed later.
func run(ctx context.Context, command []string, as string, environment []string, alone bool) (over <-chan struct{}, err error) {
	done := make(chan struct{})
	credential, err := credentialOf(as)
	if err == nil && (credential == nil && os.Geteuid() == 0 || credential != nil && credential.Uid == 0) {
		err = unchangeable(command[0])
	}
	if err != nil {
		close(done)
		return done, err
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append([]string{path}, environment...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: credential}
	if err := host.StartBare(cmd); err != nil {
		close(done)
		return done, err
	}
	group := -cmd.Process.Pid
	var ended error // once done is closed
	go func() {
		defer close(done)
		ended = cmd.Wait()
		if alone {
			_ = syscall.Kill(group, syscall.SIGKILL)
		}
	}()
	select {
	case <-done:
	case <-ctx.Done():
		_ = syscall.Kill(group, syscall.SIGKILL)
		return done, errTimeout
	}
	var exit *exec.ExitError
	if errors.As(ended, &exit) {
		return done, fmt.Errorf("%s: %v", command[0], exit)
	}
	return done, ended
}

// unchangeable refuses a program that somebody else than root could change, or
// put another one in the place of: whoever can would be root.
func unchangeable(program string) error {
	real, err := filepath.EvalSymlinks(program)
	if err != nil {
		return err
	}
	for p := real; ; p = filepath.Dir(p) {
		info, err := os.Lstat(p)
		if err != nil {
			return err
		}
		owner, ok := info.Sys().(*syscall.Stat_t)
		if !ok || owner.Uid != 0 || info.Mode().Perm()&0o022 != 0 && info.Mode()&os.ModeSticky == 0 {
			return fmt.Errorf("%s is not run as root: others than root can change %s", program, p)
		}
		if p == "/" {
			return nil
		}
	}
}

var errTimeout = errors.New("no result in time")

// credentialOf is how to become a user, without supplementary groups: nil for the
// one that we are.
func credentialOf(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("no user %s on this host", name)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("user %s: %w", name, err)
	}
	if int(uid) == os.Geteuid() {
		return nil, nil
	}
	if !host.MayBecomeOthers() {
		own := "user id " + strconv.Itoa(os.Geteuid())
		if me, err := user.Current(); err == nil {
			own = me.Username
		}
		return nil, fmt.Errorf("cannot run as %s: hactl runs as %s, and only root can become another, or who has CAP_SETUID and CAP_SETGID", name, own)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
