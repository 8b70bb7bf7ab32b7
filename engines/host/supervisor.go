package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Supervisor is the agent's side: it attaches to the engine of a runtime
// directory, or starts one, keeps it told what is wanted, and starts it again
// should it crash. When the agent ends, the engine goes on.
type Supervisor struct {
	Dir string       // runtime directory, as /run/hactl
	Log *slog.Logger // nil: slog.Default()
	// OnEvent is called for every event, in order, and must not block; may be
	// nil. After a crash or an upgrade of the engine, numbers begin at 1.
	OnEvent func(NumberedEvent)
	// Executable is what to start; empty means /proc/self/exe, with main
	// calling IsEngine and RunEngine.
	Executable string
	// Normal asks for ordinary scheduling and memory.
	Normal bool

	steady time.Duration // steadyAfter, but for tests

	mu     sync.Mutex
	client *Client
	wanted *Config
	checks map[string]Checks
	change chan struct{}
}

const (
	startLimit  = 10 * time.Second
	minBackoff  = 100 * time.Millisecond
	maxBackoff  = 10 * time.Second
	steadyAfter = 10 * time.Second // a process this old begins the backoff anew
)

// detached keeps the child out of our session and process group: signals of
// the terminal are for the agent.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// Run attaches or starts until ctx ends. It leaves the engine running; see Stop.
func (s *Supervisor) Run(ctx context.Context) error {
	s.mu.Lock()
	if s.change == nil {
		s.change = make(chan struct{}, 1)
	}
	s.mu.Unlock()
	log := s.log()
	steady := s.steady
	if steady == 0 {
		steady = steadyAfter
	}
	backoff, crashed := time.Duration(0), false
	for ctx.Err() == nil {
		began := time.Now()
		client, err := Dial(ctx, s.Dir)
		if err != nil {
			client, err = s.start(ctx, crashed && backoff == 0)
		}
		if err == nil {
			err = s.attend(ctx, client)
		}
		if ctx.Err() != nil {
			break
		}
		log.Warn("engine lost", "err", err)
		crashed = true
		if time.Since(began) > steady {
			backoff = 0
			continue
		}
		backoff = min(max(2*backoff, minBackoff), maxBackoff)
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

func (s *Supervisor) log() *slog.Logger {
	if s.Log == nil {
		return slog.Default()
	}
	return s.Log
}

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
	cmd.Env = append(os.Environ(), envEngine+"="+s.Dir, envReady+"=1")
	if resume {
		cmd.Env = append(cmd.Env, envResume+"=1")
	}
	if s.Normal {
		cmd.Env = append(cmd.Env, envNormal+"=1")
	}
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = detached()
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
			return nil, fmt.Errorf("engine ended at once: %v", exit)
		case <-time.After(time.Second):
		}
		return nil, err
	}
	return client, nil
}

// attend keeps an engine told what is wanted until it or ctx ends.
func (s *Supervisor) attend(ctx context.Context, client *Client) error {
	defer client.Close()
	if s.OnEvent != nil {
		if err := client.Subscribe(ctx, 0, s.OnEvent); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.client = client
	known := maps.Clone(s.checks)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.client = nil
		s.mu.Unlock()
	}()
	for name, checks := range known {
		if err := client.Checks(ctx, name, checks); err != nil {
			return err
		}
	}
	for {
		s.mu.Lock()
		cfg := s.wanted
		s.mu.Unlock()
		if cfg != nil {
			if err := client.Configure(ctx, *cfg); err != nil {
				return err
			}
		}
		select {
		case <-s.change:
		case <-client.Done():
			return errEnded
		case <-ctx.Done():
			return nil
		}
	}
}

// Configure makes cfg wanted, now and whenever the engine starts anew. It
// returns an error only for a configuration that no engine would take.
func (s *Supervisor) Configure(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = &cfg
	if s.change == nil {
		s.change = make(chan struct{}, 1)
	}
	select {
	case s.change <- struct{}{}:
	default:
	}
	return nil
}

// Checks passes on what the health checks say, and again after a restart.
func (s *Supervisor) Checks(ctx context.Context, router string, checks Checks) error {
	s.mu.Lock()
	if s.checks == nil {
		s.checks = map[string]Checks{}
	}
	s.checks[router] = checks
	client := s.client
	s.mu.Unlock()
	if client == nil {
		return nil // told once there is an engine
	}
	return client.Checks(ctx, router, checks)
}

// Client is the present connection, or nil while there is none.
func (s *Supervisor) Client() *Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client
}

// Stop makes the engine let go, make before break, and waits for its end. End
// Run's context first, or it starts another one.
func Stop(ctx context.Context, dir string) error {
	client, err := Dial(ctx, dir)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Shutdown(ctx, false); err != nil && !errors.Is(err, errEnded) {
		return err
	}
	select {
	case <-client.Done():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
