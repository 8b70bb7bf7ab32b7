package source

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// pipe is a session with a git-upload-pack that is a process, here or behind
// ssh. go-git's own version of this cannot be interrupted; here, hang is called
// when the context ends, and everything blocked returns.
type pipe struct {
	in     io.WriteCloser
	out    *tee
	stderr *tail
	wait   func() error // until the process has ended
	hang   func()       // ends it; may be called at any time, and more than once
	stop   func() bool  // releases the context

	listed, packed bool
}

// tee keeps the beginning of what was read.
type tee struct {
	io.Reader
	head []byte
}

func (t *tee) Read(b []byte) (int, error) {
	n, err := t.Reader.Read(b)
	t.head = append(t.head, b[:min(n, 300-len(t.head))]...)
	return n, err
}

func (p *pipe) refs(context.Context) (*packp.AdvRefs, error) {
	adv := packp.NewAdvRefs()
	// As much as an https listing may have.
	err := adv.Decode(io.LimitReader(p.out, defaultLimits().pack))
	switch {
	case errors.Is(err, packp.ErrEmptyAdvRefs), err == nil && adv.IsEmpty():
		p.listed = true
		return nil, emptyRepository()
	case err == nil:
		p.listed = true
		transport.FilterUnsupportedCapabilities(adv.Capabilities)
		return adv, nil
	}
	return nil, p.failed(notListing(string(p.out.head), err, ""))
}

// failed prefers what the process said on its way out, unless the listing
// itself was understood, and is one we cannot use.
func (p *pipe) failed(err error) error {
	_ = p.in.Close()
	ended := make(chan error, 1)
	go func() { ended <- p.wait() }()
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
		p.hang() // it holds the line and says nothing
		<-ended
	}
	if said := p.stderr.String(); said != "" && !errors.Is(err, ErrInvalid) {
		return refused(said)
	}
	return err
}

func (p *pipe) pack(_ context.Context, req *packp.UploadPackRequest) (io.ReadCloser, error) {
	if err := req.Validate(); err != nil {
		return nil, invalid("the server's offer cannot be taken: %v", err)
	}
	p.packed = true
	p.out.head = nil
	err := req.UploadRequest.Encode(p.in)
	if err == nil {
		err = req.UploadHaves.Encode(p.in, false)
	}
	if err == nil {
		err = pktline.NewEncoder(p.in).EncodeString("done\n")
	}
	if err == nil {
		err = p.in.Close()
	}
	res := packp.NewUploadPackResponse(req)
	if err == nil {
		err = res.Decode(io.NopCloser(p.out))
	}
	if err != nil {
		return nil, p.explain(p.failed(unavailable("the conversation broke off: %v", err)))
	}
	return res, nil
}

func (p *pipe) explain(err error) error { return serverSaid(string(p.out.head), err) }

func (p *pipe) close() {
	if p.listed && !p.packed {
		// "I want nothing", so that the other side ends in good order.
		_, _ = p.in.Write(pktline.FlushPkt)
	}
	_ = p.in.Close()
	p.hang()
	_ = p.wait()
	p.stop()
}

// tail keeps the last words of a process.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if over := len(t.text) - 4096; over > 0 {
		t.text = slices.Delete(t.text, 0, over)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}

// connectFile runs git-upload-pack on a repository on this machine. The path
// is absolute, so that it cannot be taken for an option.
func (g *GitRemote) connectFile(ctx context.Context) (session, error) {
	info, err := os.Stat(g.at.path)
	if err != nil {
		return nil, fileError("repository", err)
	}
	if !info.IsDir() {
		return nil, invalid("the path is not a directory, so not a Git repository")
	}
	run, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(run, "git", "upload-pack", g.at.path)
	cmd.Env = gitEnv(os.Environ())
	cmd.WaitDelay = 500 * time.Millisecond // for its children, once it is killed
	stderr := &tail{}
	cmd.Stderr = stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		cancel()
		return nil, unavailable("run git: %v", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		cancel()
		return nil, unavailable("run git: %v", err)
	}
	if err := cmd.Start(); err != nil {
		cancel()
		if errors.Is(err, exec.ErrNotFound) {
			return nil, unavailable("a repository on this machine is read with the git program, which is not installed: install git, or use https, ssh or a plain directory")
		}
		return nil, unavailable("run git: %v", err)
	}
	return &pipe{
		in: in, out: &tee{Reader: out}, stderr: stderr,
		wait: sync.OnceValue(cmd.Wait), hang: cancel,
		stop: func() bool { cancel(); return true },
	}, nil
}

// gitEnv drops what would point git elsewhere (hactl may run from a hook, with
// GIT_DIR set) or make it speak a newer protocol or another language.
func gitEnv(env []string) []string {
	drop := []string{
		"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_QUARANTINE_PATH",
		"GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_COMMON_DIR", "GIT_PROTOCOL", "LC_ALL", "LANGUAGE",
	}
	env = slices.DeleteFunc(env, func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains(drop, name)
	})
	return append(env, "LC_ALL=C")
}

// shellQuote is git's sq_quote_buf: ssh servers give the command to a shell.
func shellQuote(s string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(s) + "'"
}
