package lead

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// authority issues certificates into a folder.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	last int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	ca := &authority{t: t, dir: t.TempDir()}
	ca.cert, ca.key = ca.issue("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return ca
}

func (ca *authority) file(name string) string { return filepath.Join(ca.dir, name) }

func (ca *authority) issue(name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	ca.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		ca.t.Fatal(err)
	}
	ca.last++
	c.SerialNumber, c.Subject = big.NewInt(ca.last), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, by := ca.cert, ca.key
	if parent == nil {
		parent, by = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		ca.t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		ca.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "EC PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(ca.file(file), pem.EncodeToMemory(block), 0o600); err != nil {
			ca.t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		ca.t.Fatal(err)
	}
	return cert, key
}

func TestLeadershipOverTLSWithClientCertificates(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ca := newAuthority(t)
	usage := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	ca.issue("server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: usage})
	ca.issue("lb01", &x509.Certificate{ExtKeyUsage: usage})
	s.scheme, s.flags = "https", []string{"--client-cert-auth", "--trusted-ca-file", ca.file("ca.pem"),
		"--cert-file", ca.file("server.pem"), "--key-file", ca.file("server.key")}
	s.start()
	o := options("lb01", s.url())
	o.CAFile, o.CertFile, o.KeyFile = ca.file("ca.pem"), ca.file("lb01.pem"), ca.file("lb01.key")
	a := run(t, o)
	if err := a.confirm(a.wait(true)); err != nil {
		t.Error(err)
	}

	stranger := newAuthority(t)
	for name, change := range map[string]func(*Options){
		"no certificate": func(o *Options) { o.CertFile, o.KeyFile = "", "" },
		"another CA":     func(o *Options) { o.CAFile = stranger.file("ca.pem") },
		"no such CA":     func(o *Options) { o.CAFile = "/nonexistent" },
		"not a CA":       func(o *Options) { o.CAFile = ca.file("ca.key") },
		"no such key":    func(o *Options) { o.KeyFile = "/nonexistent" },
	} {
		refused := o
		refused.Stack = name
		change(&refused)
		b := run(t, refused)
		select {
		case <-b.Changes():
			t.Errorf("%s: it leads", name)
		case <-time.After(ttl / 4):
		}
		b.resign()
	}
}

func TestLeadershipWithAPassword(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.flags = []string{"--auth-token-ttl", "1"} // tokens end in the middle
	s.start()
	o := options("lb01", s.url())
	e, err := Etcd(o)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := e.opts.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if _, err := admin.UserAdd(t.Context(), "root", "hunter2"); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.RoleAdd(t.Context(), "root"); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.UserGrantRole(t.Context(), "root", "root"); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.AuthEnable(t.Context()); err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	o.Username = "root"
	o.Password = func() (string, error) {
		switch asked.Add(1) {
		case 1:
			return "wrong", nil
		case 2:
			return "", errors.New("no secret") // it cannot be had
		}
		return "hunter2", nil
	}
	a := run(t, o)
	term := a.wait(true)
	for began := time.Now(); a.held.Load().sent.Before(began.Add(2 * ttl)); {
		if err := a.confirm(term); err != nil {
			t.Fatal(err)
		}
	}
	a.resign()
	if who := a.leader(); who != "" {
		t.Errorf("%q leads", who)
	}
}
