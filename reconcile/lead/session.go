package lead

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// session is one lease.
type session struct {
	*Elector
	client *clientv3.Client
	lease  clientv3.LeaseID
	own    tenure // of our key, whether it leads or not
}

// enter gets a lease and puts our key.
func (s *session) enter(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.TTL)
	defer cancel()
	sent := time.Now()
	lease, err := s.client.Grant(ctx, int64(s.opts.TTL/time.Second))
	if err != nil {
		return fmt.Errorf("get a lease of etcd at %s: %w", strings.Join(s.opts.Endpoints, ", "), err)
	}
	s.lease = lease.ID
	s.own = tenure{key: fmt.Sprintf("%s%x", s.prefix, lease.ID), sent: sent, good: s.good(lease.TTL)}
	put, err := s.client.Put(ctx, s.own.key, s.opts.Identity, clientv3.WithLease(lease.ID))
	if err != nil {
		return fmt.Errorf("enter the election at etcd: %w", err)
	}
	s.own.term = put.Header.Revision // of its creation: nobody else has this lease
	return nil
}

// good is how long a lease of so many seconds may be relied on: what etcd gives
// can be longer than what was asked for, and clocks differ.
func (s *session) good(seconds int64) time.Duration {
	return min(s.opts.TTL, time.Duration(seconds)*time.Second) * 19 / 20
}

// follow renews the lease, and looks who leads, until the lease is lost.
//
//	a key was deleted    renew, and look
//	time to renew        renew, and look: watching may have failed silently
//	the lease has ended  give up
func (s *session) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	deleted := make(chan struct{}, 1)
	var watching sync.WaitGroup
	watching.Go(func() { s.watch(ctx, deleted) })
	defer watching.Wait()
	defer cancel()

	every := s.opts.TTL / 5
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := s.look(ctx, every); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deleted:
		case <-tick.C:
		}
		if err := s.renew(ctx, every); err != nil {
			return err
		}
	}
}

// watch tells of deleted keys until ctx ends. It is apart from follow because
// the client's Watch itself waits for etcd, for as long as that takes.
func (s *session) watch(ctx context.Context, deleted chan<- struct{}) {
	from := s.own.term + 1 // whatever happened since our key was put
	for ctx.Err() == nil {
		keys := s.client.Watch(ctx, s.prefix, clientv3.WithPrefix(), clientv3.WithFilterPut(), clientv3.WithRev(from))
		for event := range keys {
			if event.Err() == nil {
				select {
				case deleted <- struct{}{}:
				default:
				}
			}
		}
		from = 0 // it may have been compacted away
		t := time.NewTimer(s.opts.TTL / 5)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}

// within is a context for one request, which is of no use beyond the lease.
func (s *session) within(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, max(min(most, s.own.left(time.Now())), 0))
}

// renew tells if the lease is lost; that etcd does not answer for a while is no
// loss yet. A request that is not answered in time is followed by another at
// once: it goes to the next endpoint, where waiting for the next tick, with a
// look in between, could find the same dead one each time.
func (s *session) renew(ctx context.Context, most time.Duration) error {
	for {
		sent := time.Now()
		req, cancel := s.within(ctx, most)
		res, err := s.client.KeepAliveOnce(req, s.lease)
		unanswered := req.Err() != nil
		cancel()
		switch {
		case err == nil:
			s.own.sent, s.own.good = sent, s.good(res.TTL)
			if s.held.Load() != nil {
				t := s.own
				s.held.Store(&t)
			}
			return nil
		case errors.Is(err, rpctypes.ErrLeaseNotFound):
			return errors.New("etcd has ended the lease")
		case ctx.Err() != nil:
			return ctx.Err()
		case s.own.left(time.Now()) <= 0:
			return fmt.Errorf("the lease has ended without an answer of etcd: %w", err)
		case !unanswered: // it was refused: the next tick will do
			return nil
		}
	}
}

// look finds out who leads. Our key can be gone before the lease is, if somebody
// has deleted it to have another leader.
func (s *session) look(ctx context.Context, most time.Duration) error {
	req, cancel := s.within(ctx, most)
	defer cancel()
	res, err := s.client.Get(req, s.prefix, clientv3.WithPrefix(),
		clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend))
	if err != nil {
		return nil // whoever led by our knowledge does so until the lease ends
	}
	for i, kv := range res.Kvs {
		if string(kv.Key) == s.own.key && kv.CreateRevision == s.own.term {
			if i == 0 && s.held.Load() == nil {
				t := s.own
				s.hold(&t)
			}
			return nil
		}
	}
	return errors.New("the key in etcd is gone")
}

// resign gives the lease back, and so deletes the key. If that fails, etcd does
// both when the lease ends.
func (s *session) resign() {
	if s.lease == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(s.opts.TTL, 2*time.Second))
	defer cancel()
	if _, err := s.client.Revoke(ctx, s.lease); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		s.opts.Log.Debug("lease not given back", "host", s.opts.Identity, "error", err)
	}
}
