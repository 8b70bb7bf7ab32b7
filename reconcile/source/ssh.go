package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"
)

// connectSSH starts git-upload-pack behind ssh. When ctx ends the connection
// is closed, which unblocks even a handshake that nobody answers.
func (g *GitRemote) connectSSH(ctx context.Context) (session, error) {
	auth, who, release, err := g.sshAuth(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	addr := g.at.hostPort(22)
	hosts, err := g.knownHosts(addr)
	if err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, unavailable("%v", err)
	}
	hang := func() { _ = conn.Close() }
	stop := context.AfterFunc(ctx, hang)
	fail := func(err error) error {
		stop()
		hang()
		return err
	}
	sc, chans, reqs, err := ssh.NewClientConn(conn, addr, &ssh.ClientConfig{
		User:              g.at.user,
		Auth:              []ssh.AuthMethod{auth},
		HostKeyCallback:   hosts.check,
		HostKeyAlgorithms: hosts.algorithms,
		ClientVersion:     "SSH-2.0-hactl",
	})
	if err != nil {
		if hosts.err != nil {
			err = hosts.err
		} else if strings.Contains(err.Error(), "unable to authenticate") {
			err = denied("the server refused %s for the user %s: add its public half there, as a read-only deploy key", who(), g.at.user)
		} else {
			err = unavailable("%v", err)
		}
		return nil, fail(err)
	}
	client := ssh.NewClient(sc, chans, reqs)
	s, err := client.NewSession()
	if err != nil {
		return nil, fail(unavailable("%v", err))
	}
	stderr := &tail{}
	s.Stderr = stderr
	in, err := s.StdinPipe()
	if err != nil {
		return nil, fail(unavailable("%v", err))
	}
	out, err := s.StdoutPipe()
	if err != nil {
		return nil, fail(unavailable("%v", err))
	}
	if err := s.Start("git-upload-pack " + shellQuote(g.at.path)); err != nil {
		return nil, fail(unavailable("the server does not run git-upload-pack: %v", err))
	}
	return &pipe{
		in: in, out: &tee{Reader: out}, stderr: stderr,
		wait: sync.OnceValue(s.Wait), stop: stop,
		hang: func() { _ = client.Close() },
	}, nil
}

// sshAuth is the key file, or else the agent. who names what was offered, once
// it was; release gives the agent back.
func (g *GitRemote) sshAuth(ctx context.Context) (auth ssh.AuthMethod, who func() string, release func(), err error) {
	if name := g.opts.SSHKeyFile; name != "" {
		pem, err := os.ReadFile(name)
		if err != nil {
			return nil, nil, nil, fileError("SSH key "+name, err)
		}
		key, err := ssh.ParsePrivateKey(pem)
		var locked *ssh.PassphraseMissingError
		switch {
		case errors.As(err, &locked):
			return nil, nil, nil, invalid("the SSH key %s is encrypted, and hactl asks nobody for a passphrase: "+
				"make a deploy key without one (ssh-keygen -t ed25519 -N '' -f FILE), or put this one in an agent and name no key file", quoteName(name))
		case err != nil:
			// The parser's text is left out: it may quote the file.
			return nil, nil, nil, invalid("%s is not an SSH private key in OpenSSH or PEM format", quoteName(name))
		}
		who := func() string { return "the key " + ssh.FingerprintSHA256(key.PublicKey()) + " of " + quoteName(name) }
		return ssh.PublicKeys(key), who, func() {}, nil
	}
	socket := os.Getenv("SSH_AUTH_SOCK")
	if socket == "" {
		return nil, nil, nil, invalid("no SSH key: name a key file, or run an agent (SSH_AUTH_SOCK)")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, nil, nil, unavailable("the SSH agent at %s (SSH_AUTH_SOCK) does not answer: %v", quoteName(socket), err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	var offered []string
	signers := func() ([]ssh.Signer, error) {
		keys, err := agent.NewClient(conn).Signers()
		for _, k := range keys {
			offered = append(offered, ssh.FingerprintSHA256(k.PublicKey()))
		}
		return keys, err
	}
	who = func() string {
		if len(offered) == 0 {
			return "to go without a key, and the SSH agent has none (ssh-add FILE),"
		}
		return "the SSH agent's keys " + list(offered, 3)
	}
	return ssh.PublicKeysCallback(signers), who, func() { stop(); _ = conn.Close() }, nil
}

// hostKeys checks one server's key, and remembers why it did not pass: ssh
// wraps that error beyond recognition.
type hostKeys struct {
	known      ssh.HostKeyCallback
	algorithms []string // those of the keys on file, so that the server presents one of them
	addr       string
	file       string // where the operator would add one
	err        error
}

func (g *GitRemote) knownHosts(addr string) (*hostKeys, error) {
	files, file, err := knownHostsFiles(g.opts.KnownHostsFile)
	if err != nil {
		return nil, err
	}
	h := &hostKeys{addr: addr, file: file}
	if len(files) == 0 {
		// None yet: every host is unknown, and the error can say its key.
		h.known, err = knownhosts.New()
		if err != nil {
			return nil, invalid("known_hosts: %v", err)
		}
		return h, nil
	}
	db, err := gitssh.NewKnownHostsDb(files...)
	if err != nil {
		return nil, invalid("the known hosts in %s cannot be read: %v", list(files, 3), err)
	}
	h.known = db.HostKeyCallback()
	h.algorithms = db.HostKeyAlgorithms(addr)
	return h, nil
}

// knownHostsFiles are the files that exist, and the one to add to.
func knownHostsFiles(option string) (files []string, add string, err error) {
	names := []string{option}
	if option == "" {
		if names = filepath.SplitList(os.Getenv("SSH_KNOWN_HOSTS")); len(names) == 0 {
			names = []string{"/etc/ssh/ssh_known_hosts"}
			if home, err := os.UserHomeDir(); err == nil {
				names = []string{filepath.Join(home, ".ssh", "known_hosts"), names[0]}
			}
		}
	}
	for _, name := range names {
		_, err := os.Stat(name)
		switch {
		case err == nil:
			files = append(files, name)
		case option != "" || !errors.Is(err, fs.ErrNotExist):
			return nil, "", fileError("known hosts file "+name, err)
		}
	}
	return files, names[0], nil
}

func (h *hostKeys) check(hostname string, remote net.Addr, key ssh.PublicKey) error {
	err := h.known(hostname, remote, key)
	if err == nil {
		return nil
	}
	host, port, _ := net.SplitHostPort(h.addr)
	name := knownhosts.Normalize(h.addr)
	shown := key.Type() + " " + ssh.FingerprintSHA256(key)
	var (
		mismatch *knownhosts.KeyError
		revoked  *knownhosts.RevokedError
	)
	switch {
	case errors.As(err, &revoked):
		h.err = denied("the host key of %s (%s) is marked as revoked in %s, line %d", name, shown, revoked.Revoked.Filename, revoked.Revoked.Line)
	case errors.As(err, &mismatch) && len(mismatch.Want) > 0:
		want := mismatch.Want[0]
		h.err = denied("the host key of %s does not match: it presents %s, and %s, line %d, has %s. "+
			"Someone may be in between; if the server was given a new key, compare it with what its operator publishes, "+
			"then `ssh-keygen -R '%s' -f '%s'` and add the new one",
			name, shown, want.Filename, want.Line, want.Key.Type()+" "+ssh.FingerprintSHA256(want.Key), name, want.Filename)
	case errors.As(err, &mismatch):
		h.err = denied("the host key of %s (%s) is unknown: compare it with what its operator publishes, "+
			"then `ssh-keyscan -p %s %s >> '%s'`", name, shown, port, host, h.file)
	default:
		h.err = denied("the host key of %s (%s) is not accepted: %v", name, shown, err)
	}
	return fmt.Errorf("host key refused: %w", h.err)
}
