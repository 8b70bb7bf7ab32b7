package source

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"
)

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func signer(t testing.TB, key ed25519.PrivateKey) ssh.Signer {
	t.Helper()
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func writeKey(t testing.TB, file string, key ed25519.PrivateKey, passphrase string) {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(key, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
}

// sshServer lets one key run git commands below root.
type sshServer struct {
	addr   string
	host   ssh.PublicKey // ed25519
	second ssh.PublicKey // ecdsa
}

func serveSSH(t *testing.T, allowed ssh.PublicKey) sshServer {
	t.Helper()
	host := signer(t, newKey(t))
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	second, err := ssh.NewSignerFromKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	conf := &ssh.ServerConfig{
		PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if c.User() == "git" && string(key.Marshal()) == string(allowed.Marshal()) {
				return nil, nil
			}
			return nil, errors.New("no")
		},
	}
	conf.AddHostKey(host)
	conf.AddHostKey(second)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { serveConn(c, conf) })
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return sshServer{l.Addr().String(), host.PublicKey(), second.PublicKey()}
}

func serveConn(c net.Conn, conf *ssh.ServerConfig) {
	defer c.Close()
	_, chans, reqs, err := ssh.NewServerConn(c, conf)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(reqs)
	for nc := range chans {
		ch, reqs, err := nc.Accept()
		if err != nil {
			return
		}
		for req := range reqs {
			var cmd struct{ Line string }
			if req.Type != "exec" || ssh.Unmarshal(req.Payload, &cmd) != nil {
				_ = req.Reply(false, nil)
				continue
			}
			_ = req.Reply(true, nil)
			// What sshd does: the user's shell, with the client's words.
			run := gitCommand("/", "version")
			run = &exec.Cmd{Path: "/bin/sh", Args: []string{"sh", "-c", cmd.Line}, Env: run.Env}
			run.Stdout, run.Stderr = ch, ch.Stderr()
			in, _ := run.StdinPipe()
			go func() { _, _ = io.Copy(in, ch); in.Close() }()
			status := struct{ Code uint32 }{}
			if err := run.Run(); err != nil {
				status.Code = 128
			}
			_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(&status))
			_ = ch.Close()
			break
		}
	}
}

func (s sshServer) knownHosts(t *testing.T, key ssh.PublicKey) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "known_hosts")
	write(t, file, knownhosts.Line([]string{s.addr}, key)+"\n")
	return file
}

func TestSSH(t *testing.T) {
	dir := t.TempDir()
	mine := newKey(t)
	keyFile := filepath.Join(dir, "id")
	writeKey(t, keyFile, mine, "")
	locked, stranger, nonsense := filepath.Join(dir, "locked"), filepath.Join(dir, "stranger"), filepath.Join(dir, "nonsense")
	writeKey(t, locked, mine, "hunter2-passphrase")
	writeKey(t, stranger, newKey(t), "")
	write(t, nonsense, "sekrit-not-a-key")
	s := serveSSH(t, signer(t, mine).PublicKey())
	known := s.knownHosts(t, s.host)
	r, sha := standard(t)
	odd := filepath.Join(dir, "it's odd!")
	if err := os.Rename(r.dir, odd); err != nil {
		t.Fatal(err)
	}
	r.dir = odd
	host, port, _ := net.SplitHostPort(s.addr)
	base := GitOptions{URL: "ssh://git@" + s.addr + odd, SSHKeyFile: keyFile, KnownHostsFile: known}
	base.URL = strings.ReplaceAll(base.URL, " ", "%20")

	t.Run("fetches with a key file", func(t *testing.T) {
		g := mustGit(t, base)
		if tree := mustTree(t, g); tree.Revision != sha || names(t, tree) == "" {
			t.Errorf("got %+v", tree)
		}
		if _, err := g.Fetch(t.Context(), sha); !errors.Is(err, ErrUnchanged) {
			t.Errorf("a second fetch says %v", err)
		}
	})
	t.Run("whichever host key is known is the one to present", func(t *testing.T) {
		for _, key := range []ssh.PublicKey{s.host, s.second} {
			o := base
			o.KnownHostsFile = s.knownHosts(t, key)
			mustFetch(t, mustGit(t, o), "")
		}
	})
	t.Run("fetches from host:path with an agent", func(t *testing.T) {
		o := base
		o.URL, o.SSHKeyFile = "git@["+host+":"+port+"]:"+odd, ""
		t.Setenv("SSH_AUTH_SOCK", serveAgent(t, mine))
		t.Setenv("SSH_KNOWN_HOSTS", known)
		o.KnownHostsFile = ""
		if tree := mustTree(t, mustGit(t, o)); tree.Revision != sha {
			t.Errorf("got %+v", tree)
		}
	})
	t.Run("an agent without keys", func(t *testing.T) {
		o := base
		o.SSHKeyFile = ""
		t.Setenv("SSH_AUTH_SOCK", serveAgent(t, nil))
		wantError(t, treeError(t, mustGit(t, o)), ErrDenied, "ssh-add")
	})
	t.Run("no known_hosts at all", func(t *testing.T) {
		o := base
		o.KnownHostsFile = ""
		t.Setenv("SSH_KNOWN_HOSTS", filepath.Join(t.TempDir(), "none"))
		wantError(t, treeError(t, mustGit(t, o)), ErrDenied, "is unknown", "SHA256:", "ssh-keyscan -p "+port+" "+host)
	})
	t.Setenv("SSH_AUTH_SOCK", "")

	otherHost := filepath.Join(dir, "other_hosts")
	write(t, otherHost, knownhosts.Line([]string{"git.example.com"}, s.host)+"\n")
	for name, tt := range map[string]struct {
		change func(*GitOptions)
		kind   error
		words  []string
	}{
		"unknown host key": {func(o *GitOptions) { o.KnownHostsFile = otherHost }, ErrDenied,
			[]string{"is unknown", "SHA256:", "ssh-keyscan", otherHost}},
		"wrong host key": {func(o *GitOptions) { o.KnownHostsFile = s.knownHosts(t, signer(t, newKey(t)).PublicKey()) }, ErrDenied,
			[]string{"does not match", ssh.FingerprintSHA256(s.host), "line 1", "ssh-keygen -R"}},
		"missing known hosts file": {func(o *GitOptions) { o.KnownHostsFile = "/nonexistent" }, ErrNotFound, []string{"known hosts file"}},
		"encrypted key":            {func(o *GitOptions) { o.SSHKeyFile = locked }, ErrInvalid, []string{"is encrypted", "ssh-keygen -t ed25519"}},
		"not a key":                {func(o *GitOptions) { o.SSHKeyFile = nonsense }, ErrInvalid, []string{"is not an SSH private key"}},
		"missing key":              {func(o *GitOptions) { o.SSHKeyFile = "/nonexistent" }, ErrNotFound, []string{"SSH key"}},
		"neither key nor agent":    {func(o *GitOptions) { o.SSHKeyFile = "" }, ErrInvalid, []string{"SSH_AUTH_SOCK"}},
		"key the server refuses":   {func(o *GitOptions) { o.SSHKeyFile = stranger }, ErrDenied, []string{"refused the key SHA256:", "deploy key"}},
		"user the server refuses":  {func(o *GitOptions) { o.URL = strings.Replace(o.URL, "git@", "root@", 1) }, ErrDenied, []string{"for the user root"}},
		"no such repository":       {func(o *GitOptions) { o.URL = "ssh://git@" + s.addr + "/nonexistent" }, ErrNotFound, []string{"no such repository"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := base
			tt.change(&o)
			err := treeError(t, mustGit(t, o))
			wantError(t, err, tt.kind, tt.words...)
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "sekrit") {
				t.Errorf("secret in %v", err)
			}
		})
	}
}

// serveAgent is an SSH agent with one key, or none.
func serveAgent(t *testing.T, key ed25519.PrivateKey) string {
	t.Helper()
	ring := agent.NewKeyring()
	if key != nil {
		if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "agent") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { _ = agent.ServeAgent(ring, c); c.Close() })
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait(); os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}
