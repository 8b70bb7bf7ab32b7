package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// detached keeps the child out of our session and process group: signals of
// the terminal are for the agent.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// start starts an engine and attaches to it.
func (s *Supervisor) start(ctx context.Context, resume bool) (*Client, error) {
	path := s.Executable
	if path == "" {
		path = "/proc/self/exe"
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start engine: %w", err)
	}
	defer r.Close()
	cmd := exec.Command(path, "engine")
	cmd.Env = append(environment(), envEngine+"="+s.Dir, envReady+"=1")
	if resume {
		cmd.Env = append(cmd.Env, envResume+"=1")
	}
	if s.Normal {
		cmd.Env = append(cmd.Env, envNormal+"=1")
	}
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = detached()
	cmd.SysProcAttr.AmbientCaps = lent()
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		return nil, fmt.Errorf("start engine: %w", err)
	}
	s.log().Info("engine started", "pid", cmd.Process.Pid, "resume", resume)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // also reaps it, whenever it ends
	_ = r.SetReadDeadline(time.Now().Add(startLimit))
	if _, err := r.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		_ = cmd.Process.Kill()
		return nil, errors.New("start engine: it does not get ready")
	}
	client, err := Dial(ctx, s.Dir)
	if err != nil {
		select {
		case exit := <-ended:
			var status *exec.ExitError
			if errors.As(exit, &status) && status.ExitCode() == ExitBusy {
				return nil, errBusy
			}
			return nil, fmt.Errorf("the engine ended at once (%v), and has said why", exit)
		case <-time.After(time.Second):
		}
		return nil, err
	}
	return client, nil
}
