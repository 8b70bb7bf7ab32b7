package host

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"
)

// Client talks to an engine. Its methods may be called from any goroutine.
type Client struct {
	conn    net.Conn
	events  func(NumberedEvent)
	ended   chan struct{}
	mu      sync.Mutex
	next    uint64
	waiting map[uint64]chan reply
}

// Dial reaches the engine that has a runtime directory.
func Dial(ctx context.Context, dir string) (*Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", filepath.Join(dir, socketFile))
	if err != nil {
		return nil, fmt.Errorf("reach engine: %w", err)
	}
	c := &Client{conn: conn, ended: make(chan struct{}), waiting: map[uint64]chan reply{}}
	go c.read()
	return c, nil
}

// Close ends the connection; the engine goes on.
func (c *Client) Close() { _ = c.conn.Close() }

// Done is closed when the connection has ended.
func (c *Client) Done() <-chan struct{} { return c.ended }

func (c *Client) read() {
	d := json.NewDecoder(bufio.NewReader(c.conn))
	for {
		var r reply
		if d.Decode(&r) != nil {
			break
		}
		c.mu.Lock()
		events, waiting := c.events, c.waiting[r.ID]
		delete(c.waiting, r.ID)
		c.mu.Unlock()
		switch {
		case r.Event != nil && events != nil:
			events(*r.Event)
		case waiting != nil:
			waiting <- r
		}
	}
	_ = c.conn.Close()
	close(c.ended)
}

// askLimit bounds every question: an engine that does not answer may be stopped.
const askLimit = handoverLimit + 5*time.Second

var errRefused = errors.New("refused")

func (c *Client) ask(ctx context.Context, q request) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	answer := make(chan reply, 1)
	c.mu.Lock()
	c.next++
	q.ID = c.next
	c.waiting[q.ID] = answer
	b, err := json.Marshal(q)
	if err == nil {
		_, err = c.conn.Write(append(b, '\n'))
	}
	c.mu.Unlock()
	if err != nil {
		return reply{}, fmt.Errorf("%s: %w", q.Op, err)
	}
	select {
	case r := <-answer:
		if r.Error != "" {
			return r, fmt.Errorf("%s: %w: %s", q.Op, errRefused, r.Error)
		}
		return r, nil
	case <-ctx.Done():
		return reply{}, fmt.Errorf("%s: %w", q.Op, ctx.Err())
	case <-c.ended:
		select {
		case r := <-answer:
			if r.Error == "" {
				return r, nil
			}
		default:
		}
		return reply{}, fmt.Errorf("%s: %w", q.Op, errEnded)
	}
}

// Configure makes cfg the engine's configuration.
func (c *Client) Configure(ctx context.Context, cfg Config) error {
	_, err := c.ask(ctx, request{Op: opConfigure, Config: &cfg})
	return err
}

// Config returns the engine's configuration, nil if it has none yet. It holds
// passwords.
func (c *Client) Config(ctx context.Context) (*Config, error) {
	r, err := c.ask(ctx, request{Op: opConfig})
	return r.Config, err
}

// Status asks what the engine knows.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	r, err := c.ask(ctx, request{Op: opStatus})
	if err == nil && r.Status == nil {
		err = errors.New("status: empty answer")
	}
	return r.Status, err
}

// Results tells what health checks have found.
func (c *Client) Results(ctx context.Context, results map[string]Result) error {
	_, err := c.ask(ctx, request{Op: opResults, Results: results})
	return err
}

// Maintenance hands a router over and keeps it away until it ends; an empty
// name means all. It adds to what the configuration says.
func (c *Client) Maintenance(ctx context.Context, router string, on bool) error {
	_, err := c.ask(ctx, request{Op: opMaintenance, Router: router, On: on})
	return err
}

// Shutdown makes the engine let go of everything, make before break unless
// now, and exit.
func (c *Client) Shutdown(ctx context.Context, now bool) error {
	_, err := c.ask(ctx, request{Op: opShutdown, Now: now})
	return err
}

// Upgrade replaces the engine process by one of the binary at path (empty: the
// same one again). The connection ends with the old process.
func (c *Client) Upgrade(ctx context.Context, path string) error {
	_, err := c.ask(ctx, request{Op: opUpgrade, Path: path})
	if errors.Is(err, errEnded) {
		return nil // it exits once it has handed over
	}
	return err
}

// Subscribe has f called for every event after the given number, in order and
// by one goroutine, which must not ask the client anything.
func (c *Client) Subscribe(ctx context.Context, after uint64, f func(NumberedEvent)) error {
	c.mu.Lock()
	c.events = f
	c.mu.Unlock()
	_, err := c.ask(ctx, request{Op: opSubscribe, After: after})
	return err
}
