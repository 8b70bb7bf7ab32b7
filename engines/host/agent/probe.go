package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/hactl/hactl/schema"
)

// probe is one way to try: try returns nil if all is well. changed hears when
// it may be worth trying before the interval is over; nil where nothing tells.
type probe struct {
	try     func(context.Context) error
	changed chan struct{}
	close   func()
}

func newProbe(host, name string, h schema.HealthCheck) probe {
	p := probe{close: func() {}}
	switch h.Type {
	case "http":
		p.try = probeHTTP(h)
	case "tcp":
		p.try = func(ctx context.Context) error {
			var d net.Dialer
			conn, err := d.DialContext(ctx, "tcp", h.Address)
			if err == nil {
				err = conn.Close()
			}
			return plainly(err)
		}
	case "exec":
		p.try = probeExec(h, []string{"HACTL_HOST=" + host, "HACTL_CHECK=" + name})
	case "process":
		return probeProcess(h.Process, max(h.Processes, 1))
	case "interface":
		return probeInterface(h.Interface)
	default:
		p.try = func(context.Context) error { return fmt.Errorf("no check is of type %q", h.Type) }
	}
	return p
}

// probeExec runs a program; while one that cannot be killed is there still, no
// other one is started.
func probeExec(h schema.HealthCheck, environment []string) func(context.Context) error {
	var over <-chan struct{}
	return func(ctx context.Context) (err error) {
		if over != nil {
			select {
			case <-over:
			default:
				return errors.New("the former try is not over and cannot be ended")
			}
		}
		over, err = run(ctx, h.Command, h.User, environment, true)
		return err
	}
}

// bodyLimit is how much of an answer is looked at.
const bodyLimit = 64 << 10

// probeHTTP asks over a connection of its own each time: one that was kept
// open would say nothing about new ones.
func probeHTTP(h schema.HealthCheck) func(context.Context) error {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives:   true,
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: h.AllowInsecure}, //nolint:gosec // the specification's word
		TLSHandshakeTimeout: time.Duration(h.Timeout),
	}}
	if !h.FollowRedirects {
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	return func(ctx context.Context) error {
		codes, err := schema.ParseCodes(h.ExpectedCodes)
		if err != nil {
			return err
		}
		q, err := http.NewRequestWithContext(ctx, h.Method, h.URL, http.NoBody)
		if err != nil {
			return err
		}
		q.Header.Set("User-Agent", "hactl")
		for name, value := range h.Header {
			q.Header.Set(name, value)
		}
		if host := q.Header.Get("Host"); host != "" {
			q.Host = host
		}
		r, err := client.Do(q)
		if err != nil {
			return plainly(err)
		}
		defer r.Body.Close()
		if !codes.Contain(r.StatusCode) {
			return fmt.Errorf("status %d, want %s", r.StatusCode, h.ExpectedCodes)
		}
		if h.ExpectedBody == "" {
			return nil
		}
		body, err := io.ReadAll(io.LimitReader(r.Body, bodyLimit))
		if err != nil {
			return plainly(err)
		}
		if !bytes.Contains(body, []byte(h.ExpectedBody)) {
			return errors.New("the expected text is not in the answer")
		}
		return nil
	}
}

// plainly takes the address and the operation from an error: the check's name
// says them, and a URL may hold what is nobody's business.
func plainly(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	return err
}
