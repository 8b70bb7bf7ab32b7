package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
)

// services are what agents reach beyond their LAN, on a machine of its own: Git
// over https and ssh, Cloudflare, a forge. This process answers for them, with
// sockets in that machine's network namespace; sshd and etcd run there.
type services struct {
	s       *site
	dir     string
	address string
	ca      authority

	sim      *cfsim.Server
	mu       sync.Mutex
	asked    []request // of Cloudflare
	down     map[string]bool
	states   []string // that the forge was told
	notified []string // what a webhook of the specification got
	fetched  int      // requests for the repository's refs
	http     *http.Server
}

// request is one that Cloudflare has seen.
type request struct {
	from   string // address
	method string
	path   string
	at     time.Time
}

const servicesAddress = "192.168.0.9"

// serveAll starts the services.
func (s *site) serveAll() *services {
	s.t.Helper()
	v := &services{s: s, dir: filepath.Join(s.dir, "services"), address: servicesAddress, down: map[string]bool{}}
	v.sim = cfsim.New(cfsim.Options{Zones: []string{"example.com"}})
	if err := os.MkdirAll(v.dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	v.ca = newAuthority(s.t, v.dir)
	v.git("init", "--quiet", "--bare", "--initial-branch=main", v.path("edge.git"))
	v.git("-C", v.path("edge.git"), "config", "http.receivepack", "false")
	v.git("-C", v.path("edge.git"), "config", "uploadpack.allowFilter", "true")
	v.git("init", "--quiet", "--initial-branch=main", v.path("work"))
	v.git("-C", v.path("work"), "remote", "add", "origin", v.path("edge.git"))
	l, err := s.Listen("svc", "tcp", servicesAddress+":443")
	if err != nil {
		s.t.Fatal(err)
	}
	v.http = &http.Server{Handler: v, TLSConfig: v.ca.issue(s.t, servicesAddress), ErrorLog: nil, ReadHeaderTimeout: time.Minute}
	go func() { _ = v.http.ServeTLS(l, "", "") }()
	s.t.Cleanup(func() { _ = v.http.Close() })
	return v
}

func (v *services) path(name string) string { return filepath.Join(v.dir, name) }

// ServeHTTP is Git below /git, the forge's API below /api/v1, and Cloudflare.
func (v *services) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := "cloudflare"
	switch {
	case strings.HasPrefix(r.URL.Path, "/git/"):
		name = "git"
	case strings.HasPrefix(r.URL.Path, "/api/v1/"):
		name = "forge"
	case r.URL.Path == "/notify":
		name = "notify"
	}
	if v.isDown(name) {
		panic(http.ErrAbortHandler)
	}
	switch name {
	case "git":
		v.mu.Lock()
		if strings.HasSuffix(r.URL.Path, "/info/refs") {
			v.fetched++
		}
		v.mu.Unlock()
		backend := &cgi.Handler{
			Path: "/usr/bin/git", Args: []string{"http-backend"}, Root: "/git", Stderr: io.Discard,
			Env: []string{"GIT_PROJECT_ROOT=" + v.dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + v.path("gitconfig")},
		}
		backend.ServeHTTP(w, r)
	case "notify":
		b, _ := io.ReadAll(r.Body)
		v.mu.Lock()
		v.notified = append(v.notified, string(b))
		v.mu.Unlock()
	case "forge":
		b, _ := io.ReadAll(r.Body)
		v.mu.Lock()
		v.states = append(v.states, filepath.Base(r.URL.Path)+" "+r.Header.Get("Authorization")+" "+string(b))
		v.mu.Unlock()
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte("{}"))
	default:
		from, _, _ := net.SplitHostPort(r.RemoteAddr)
		v.mu.Lock()
		v.asked = append(v.asked, request{from, r.Method, strings.TrimPrefix(r.URL.Path, cfsim.Prefix), time.Now()})
		v.mu.Unlock()
		v.sim.ServeHTTP(w, r)
	}
}

// cut takes a service away, or gives it back.
func (v *services) cut(name string, down bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.down[name] = down
}

func (v *services) isDown(name string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.down[name]
}

// writes are the requests that change something, since a time, from an address
// or from all.
func (v *services) writes(from string, since time.Time) (n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range v.asked {
		if r.method != http.MethodGet && !r.at.Before(since) && (from == "" || r.from == from) {
			n++
		}
	}
	return n
}

// told are the states that the forge was told of a commit and a context.
func (v *services) told(sha, context string) (states []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.states {
		if strings.HasPrefix(s, sha) && strings.Contains(s, `"`+context+`"`) {
			states = append(states, s)
		}
	}
	return states
}

// heard tells whether a notification had all of parts.
func (v *services) heard(parts ...string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.ContainsFunc(v.notified, func(n string) bool {
		return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(n, p) })
	})
}

// env is how an agent reaches Cloudflare.
func (v *services) env() []string {
	return []string{
		"CLOUDFLARE_BASE_URL=https://" + servicesAddress + cfsim.Prefix, "CLOUDFLARE_ACCOUNT_ID=" + v.sim.Account(),
		"CLOUDFLARE_API_TOKEN=" + simToken, "SSL_CERT_FILE=" + v.ca.file,
	}
}

// overHTTPS and overSSH are the flags that lead to the repository.
func (v *services) overHTTPS() []string {
	return []string{"--repo", "https://" + servicesAddress + "/git/edge.git", "--ca-file", v.ca.file, "--ref", "main"}
}

func (v *services) overSSH() []string {
	return []string{"--repo", "ssh://root@" + servicesAddress + v.path("edge.git"), "--ref", "main", "--ssh-key", v.path("id"), "--known-hosts", v.path("known_hosts")}
}

// git runs git without anybody's settings.
func (v *services) git(args ...string) string {
	v.s.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+v.path("gitconfig"), "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=alice", "GIT_AUTHOR_EMAIL=alice@example.com", "GIT_COMMITTER_NAME=alice", "GIT_COMMITTER_EMAIL=alice@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		v.s.t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// push commits a specification and returns its SHA; key signs it, if any.
func (v *services) push(spec, key string) string {
	v.s.t.Helper()
	if err := os.WriteFile(v.path("work/edge.cue"), []byte(spec), 0o600); err != nil {
		v.s.t.Fatal(err)
	}
	v.git("-C", v.path("work"), "add", ".")
	args := []string{"-C", v.path("work")}
	if key != "" {
		args = append(args, "-c", "gpg.format=ssh", "-c", "user.signingkey="+v.path(key))
	}
	args = append(args, "commit", "--quiet", "--allow-empty", "--message", "a change")
	if key != "" {
		args = append(args, "-S")
	}
	v.git(args...)
	v.git("-C", v.path("work"), "push", "--quiet", "--force", "origin", "main")
	return v.head()
}

func (v *services) head() string { return v.git("-C", v.path("work"), "rev-parse", "HEAD") }

// key makes an SSH key without a passphrase.
func (v *services) key(name string) string {
	v.s.t.Helper()
	v.s.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", v.path(name))
	public, err := os.ReadFile(v.path(name + ".pub"))
	if err != nil {
		v.s.t.Fatal(err)
	}
	return strings.TrimSpace(string(public))
}

// sshd runs Debian's own, for the repository alone.
func (v *services) sshd() {
	v.s.t.Helper()
	sshd := needs(v.s.t, "sshd", "openssh-server")
	public, hostKey := v.key("id"), v.key("hostkey")
	_ = os.MkdirAll("/run/sshd", 0o755) // sshd's own, which its service makes
	// SHLVL keeps bash from start-up files, which it reads when sshd starts it: they
	// are this machine's own, may take long, and are not to be killed half way.
	files := map[string]string{
		"authorized":  "restrict,command=\"git-shell -c \\\"$SSH_ORIGINAL_COMMAND\\\"\" " + public + "\n",
		"known_hosts": servicesAddress + " " + hostKey + "\n",
		"sshd.conf": fmt.Sprintf("ListenAddress %s:22\nHostKey %s\nAuthorizedKeysFile %s\nStrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nUsePAM no\nPidFile none\nSetEnv SHLVL=2\n",
			servicesAddress, v.path("hostkey"), v.path("authorized")),
	}
	for name, content := range files {
		if err := os.WriteFile(v.path(name), []byte(content), 0o600); err != nil {
			v.s.t.Fatal(err)
		}
	}
	v.background("sshd", "ip", "netns", "exec", v.s.ns("svc"), sshd, "-D", "-e", "-f", v.path("sshd.conf"))
	v.s.eventually("sshd listens", func() bool { return v.listens("22") })
}

// etcd runs Debian's own.
func (v *services) etcd() *exec.Cmd {
	v.s.t.Helper()
	etcd := needs(v.s.t, "etcd", "etcd-server")
	url := "http://" + servicesAddress + ":2379"
	cmd := v.background("etcd", "ip", "netns", "exec", v.s.ns("svc"), etcd, "--data-dir", v.path("etcd"), "--listen-client-urls", url, "--advertise-client-urls", url,
		"--listen-peer-urls", "http://127.0.0.1:0", "--logger", "zap", "--log-level", "error")
	v.s.eventually("etcd listens", func() bool { return v.listens("2379") })
	return cmd
}

func (v *services) listens(port string) bool {
	out, err := exec.Command("ip", "netns", "exec", v.s.ns("svc"), "cat", "/proc/net/tcp").Output()
	var n int
	_, _ = fmt.Sscan(port, &n)
	return err == nil && bytes.Contains(out, fmt.Appendf(nil, ":%04X 00000000:0000 0A", n))
}

// background runs a program until the test ends; it logs into the services' folder.
func (v *services) background(name string, args ...string) *exec.Cmd {
	v.s.t.Helper()
	log, err := os.Create(v.path(name + ".log"))
	if err != nil {
		v.s.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		v.s.t.Fatal(err)
	}
	v.s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if b, _ := os.ReadFile(v.path(name + ".log")); v.s.t.Failed() && len(b) > 0 {
			v.s.t.Logf("%s:\n%s", name, b)
		}
	})
	return cmd
}

// needs finds a program that CI has installed.
func needs(t *testing.T, program, debian string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if os.Getenv("HACTL_NETNS") == "required" {
		t.Fatalf("this needs %s: install %s", program, debian)
	}
	t.Skipf("this needs %s: install %s", program, debian)
	return ""
}

// authority is a certificate authority in a file.
type authority struct {
	file string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, dir string) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "site"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a := authority{file: filepath.Join(dir, "ca.pem"), cert: cert, key: key}
	writePEM(t, a.file, "CERTIFICATE", der)
	return a
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// issue makes a certificate for an address.
func (a authority) issue(t *testing.T, address string) *tls.Config {
	t.Helper()
	cert, key := a.files(t, address)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
}

// files are a certificate for an address and its key.
func (a authority) files(t *testing.T, address string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(address)}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &private.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(filepath.Dir(a.file), address)
	writePEM(t, base+".pem", "CERTIFICATE", der)
	writePEM(t, base+".key", "PRIVATE KEY", keyDER)
	return base + ".pem", base + ".key"
}
