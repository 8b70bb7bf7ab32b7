package lead

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Options say where etcd is, and who takes part.
type Options struct {
	// Endpoints are URLs, all https:// or all http://. A password goes over
	// http to this machine only.
	Endpoints []string
	// Stack names the election: its keys are below /hactl/STACK/leader/.
	Stack string
	// Identity is this host's name, which Leader gives to others.
	Identity string
	// TTL is how long a leader that vanished is waited for, in whole seconds;
	// 0 means 15 s. etcd may make it longer, to a little over its election
	// timeout.
	TTL time.Duration

	// CAFile holds PEM certificates trusted instead of the system's. CertFile
	// and KeyFile go together.
	CAFile, CertFile, KeyFile string

	// Username and Password, which is called for each connection, go together.
	Username string
	Password func() (string, error)

	// Log gets one line for each change; nil for none. The client's own words
	// arrive there at debug level.
	Log *slog.Logger
}

// Etcd is an elector. It checks the options, and touches neither network nor
// disk.
func Etcd(o Options) (*Elector, error) {
	if o.TTL == 0 {
		o.TTL = 15 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case len(o.Endpoints) == 0:
		return nil, errors.New("etcd: no endpoint is given")
	case o.Stack == "" || strings.Contains(o.Stack, "/"):
		return nil, fmt.Errorf("etcd: %q cannot name an election", o.Stack)
	case o.Identity == "":
		return nil, errors.New("etcd: this host has no name")
	case o.TTL < time.Second || o.TTL%time.Second != 0:
		return nil, fmt.Errorf("etcd: a TTL is in whole seconds, not %v", o.TTL)
	case (o.CertFile == "") != (o.KeyFile == ""):
		return nil, errors.New("etcd: a client certificate and its key go together")
	case (o.Username == "") != (o.Password == nil):
		return nil, errors.New("etcd: a user name and a password go together")
	}
	secure := strings.HasPrefix(o.Endpoints[0], "https://")
	for _, e := range o.Endpoints {
		u, err := url.Parse(e)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			return nil, errors.New("etcd: an endpoint is a URL such as https://etcd1.example.com:2379")
		case u.User != nil:
			return nil, errors.New("etcd: an endpoint's URL must not hold a credential")
		case (u.Scheme == "https") != secure:
			return nil, errors.New("etcd: the endpoints are all https or all http")
		case !secure && (o.CAFile != "" || o.CertFile != ""):
			return nil, errors.New("etcd: certificates are for https endpoints")
		case !secure && o.Password != nil && !loopback(u.Hostname()):
			return nil, fmt.Errorf("etcd: over http anyone on the way to %s can read the password: use https", u.Host)
		}
	}
	return &Elector{opts: o, prefix: "/hactl/" + o.Stack + "/leader/", changes: make(chan struct{}, 1)}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// dial makes a client. It connects later, except to trade a password for a token,
// for which it waits no longer than ctx; the client itself outlives ctx, to resign.
func (o *Options) dial(ctx context.Context) (*clientv3.Client, error) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, end)
	c := clientv3.Config{
		Context:     life,
		Endpoints:   o.Endpoints,
		DialTimeout: min(o.TTL, 5*time.Second),
		// Finds dead connections. etcd hangs up on who asks more often than
		// every five seconds.
		DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 3 * time.Second,
		Username: o.Username,
		Logger:   zap.New(zapToSlog{o.Log}),
	}
	var err error
	if c.TLS, err = o.tls(); err != nil {
		return nil, err
	}
	if o.Password != nil {
		if c.Password, err = o.Password(); err != nil {
			return nil, fmt.Errorf("get the password for etcd: %w", err)
		}
	}
	client, err := clientv3.New(c)
	if err != nil {
		return nil, fmt.Errorf("connect to etcd: %w", err)
	}
	if !stop() {
		_ = client.Close()
		return nil, context.Cause(ctx)
	}
	return client, nil
}

func (o *Options) tls() (*tls.Config, error) {
	if !strings.HasPrefix(o.Endpoints[0], "https://") {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the CA of etcd: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read the CA of etcd: %s holds no PEM certificate", o.CAFile)
		}
	}
	if o.CertFile != "" {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
			if err != nil {
				return nil, fmt.Errorf("read the client certificate for etcd: %w", err)
			}
			return &cert, nil
		}
	}
	return c, nil
}

// zapToSlog lets the client talk at debug level: what it has to say of outages is
// said by Run, once.
type zapToSlog struct{ log *slog.Logger }

func (z zapToSlog) Enabled(zapcore.Level) bool {
	return z.log.Enabled(context.Background(), slog.LevelDebug)
}

func (z zapToSlog) With(fields []zapcore.Field) zapcore.Core {
	return zapToSlog{slog.New(z.log.Handler().WithAttrs(attrs(fields)))}
}

func (z zapToSlog) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if z.Enabled(e.Level) {
		return c.AddCore(e, z)
	}
	return c
}

func (z zapToSlog) Write(e zapcore.Entry, fields []zapcore.Field) error {
	z.log.LogAttrs(context.Background(), slog.LevelDebug, "etcd client: "+e.Message, attrs(fields)...)
	return nil
}

func (z zapToSlog) Sync() error { return nil }

func attrs(fields []zapcore.Field) []slog.Attr {
	enc := zapcore.NewMapObjectEncoder()
	var out []slog.Attr
	for _, f := range fields {
		f.AddTo(enc)
		out = append(out, slog.Any(f.Key, enc.Fields[f.Key]))
	}
	return out
}
