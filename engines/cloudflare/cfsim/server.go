package cfsim

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Prefix is where the API lives on the server: clients use http://host + Prefix as their base URL.
const Prefix = "/client/v4"

// Options configure a Server. The zero value is a server without zones that accepts any token.
type Options struct {
	Seed       uint64           // all ids, secrets and orders derive from it; 0 means 1
	Account    string           // 32 hex digits; "" derives it from the seed
	Zones      []string         // names of the zones that exist at the start
	Token      string           // the bearer token required; "" accepts any that is not empty
	Quota      int              // requests per Window; 0 is no limit
	Window     time.Duration    // default 5m
	Latency    time.Duration    // added to each request
	Now        func() time.Time // default time.Now
	Enterprise bool             // lifts the plan's limits: counts, monitor interval, ttl, comment length, pop pools
}

// Server simulates one account. It is safe for concurrent use; create it with New.
type Server struct {
	opt Options
	mux *http.ServeMux

	front    sync.Mutex // guards what is known of requests, not of objects
	quota    quota
	faults   []*installed
	latency  time.Duration
	log      []Request
	epoch    int // how often the log was reset
	inFlight int
	peak     int

	mu   sync.Mutex // guards all objects
	made map[string]int

	zones     map[string]*zone // by id
	zoneNames map[string]string

	tunnels     store[*tunnel]
	tunnelNames map[string]*tunnel // live ones

	networks     store[*network]
	networkNames map[string]*network // live ones
	defaultNet   *network

	routes    store[*route]
	routeKeys map[routeKey]*route // live ones
	vips      uint32              // how many private load balancer addresses were given out

	monitors      store[*monitor]
	monitorGroups store[*monitorGroup]
	pools         store[*pool]
	poolNames     map[string]*pool
	privateLBs    store[*loadBalancer]

	shapes shapes
}

// shapes are the request bodies of each kind, built once.
type shapes struct {
	tunnelCreate, tunnelUpdate, tunnelConfig *shape
	networkCreate, networkUpdate             *shape
	route                                    *shape
	monitor, monitorGroup                    *shape
	poolCreate, pool, poolsPatch             *shape
	zoneLB, accountLB                        *shape
	record, batch                            *shape
	empty                                    *shape
}

// Request is one request that the server has seen. Status is 0 while it is under way and where the connection was
// dropped without an answer.
type Request struct {
	Index  int // 1-based
	Method string
	Path   string // after Prefix
	Query  string
	Status int
	Fault  FaultKind // "" for none
}

// New returns a server whose only objects are its zones and the default virtual network.
func New(opt Options) *Server {
	if opt.Seed == 0 {
		opt.Seed = 1
	}
	if opt.Account == "" {
		opt.Account = derivedHex(opt.Seed, "account")
	}
	if opt.Window == 0 {
		opt.Window = 5 * time.Minute
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	s := &Server{
		opt:           opt,
		mux:           http.NewServeMux(),
		quota:         quota{limit: opt.Quota, window: opt.Window},
		latency:       opt.Latency,
		made:          map[string]int{},
		zones:         map[string]*zone{},
		zoneNames:     map[string]string{},
		tunnels:       newStore[*tunnel](),
		tunnelNames:   map[string]*tunnel{},
		networks:      newStore[*network](),
		networkNames:  map[string]*network{},
		routes:        newStore[*route](),
		routeKeys:     map[routeKey]*route{},
		monitors:      newStore[*monitor](),
		monitorGroups: newStore[*monitorGroup](),
		pools:         newStore[*pool](),
		poolNames:     map[string]*pool{},
		privateLBs:    newStore[*loadBalancer](),
	}
	s.shapes.empty = record(nil)
	for _, name := range opt.Zones {
		s.addZone(name)
	}
	s.addDefaultNetwork()
	s.serveZones()
	s.serveTunnels()
	s.serveNetworks()
	s.serveRoutes()
	s.serveMonitors()
	s.serveMonitorGroups()
	s.servePools()
	s.serveLoadBalancers()
	s.serveDNS()
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.(*answer).err = noRoute(Prefix + r.URL.Path)
	})
	return s
}

// born is the time at which the account's first objects were made; it derives from the seed.
func (s *Server) born() time.Time {
	d := digest(s.opt.Seed, "born")
	return time.Date(2025, 1, 1+int(d[0])%28, int(d[1])%24, int(d[2])%60, int(d[3])%60, 0, time.UTC)
}

// Account returns the account's id.
func (s *Server) Account() string { return s.opt.Account }

// SetLatency changes the time added to each request from now on.
func (s *Server) SetLatency(d time.Duration) {
	s.front.Lock()
	defer s.front.Unlock()
	s.latency = d
}

// Requests returns a copy of the log, in order of arrival.
func (s *Server) Requests() []Request {
	s.front.Lock()
	defer s.front.Unlock()
	return append([]Request(nil), s.log...)
}

// ResetLog forgets the requests seen so far and the highest number in flight. Indexes start again at 1.
func (s *Server) ResetLog() {
	s.front.Lock()
	defer s.front.Unlock()
	s.log, s.peak = nil, s.inFlight
	s.epoch++
}

// MaxInFlight returns the highest number of requests that were under way at once.
func (s *Server) MaxInFlight() int {
	s.front.Lock()
	defer s.front.Unlock()
	return s.peak
}

// ServeHTTP answers one request: authentication, quota, faults, latency, then the resource.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	inner, below := strip(r)
	t := s.arrive(inner, w.Header())
	defer s.leave(t)

	if t.err != nil {
		t.status = t.err.status
		writeJSON(w, t.err.status, t.err.bytes())
		return
	}
	a := &answer{now: s.opt.Now()}
	if a.err = a.readBody(w, r); !below {
		a.err = noRoute(r.URL.Path)
	}
	if !pause(r.Context(), t.wait) {
		return // the client gave up before anything happened
	}
	fault := t.fault
	if fault != nil && fault.RetryAfter > 0 {
		w.Header().Set("Retry-After", retryAfter(fault.RetryAfter))
	}
	if fault != nil {
		switch fault.Kind {
		case FaultReset:
			panic(http.ErrAbortHandler)
		case FaultStatus:
			e := fault.refusal()
			t.status = e.status
			writeJSON(w, e.status, e.bytes())
			return
		case FaultGatewayHTML:
			t.status = http.StatusBadGateway
			writeGatewayPage(w)
			return
		}
	}

	if a.err == nil {
		s.mux.ServeHTTP(a, inner)
	}
	status, b := a.bytes(inner)

	if fault != nil {
		switch fault.Kind {
		case FaultLost:
			panic(http.ErrAbortHandler)
		case FaultLostStatus:
			e := fault.refusal()
			status, b = e.status, e.bytes()
		case FaultTruncate:
			t.status = status
			truncate(w, status, b)
		}
	}
	t.status = status
	writeJSON(w, status, b)
}

// strip returns the request as seen below Prefix, and false with the request as it is where it is outside.
func strip(r *http.Request) (*http.Request, bool) {
	path, ok := strings.CutPrefix(r.URL.Path, Prefix)
	if !ok {
		return r, false
	}
	u := *r.URL
	u.Path = path
	u.RawPath, _ = strings.CutPrefix(r.URL.RawPath, Prefix)
	inner := *r
	inner.URL = &u
	return &inner, true
}

// turn is what is decided about a request when it arrives, and what becomes of it.
type turn struct {
	entry  int // in the log of this epoch
	epoch  int
	status int
	fault  *Fault
	wait   time.Duration
	err    *refusal
}

// arrive logs the request and decides, in order of arrival, about authentication, quota and faults.
func (s *Server) arrive(r *http.Request, h http.Header) *turn {
	s.front.Lock()
	defer s.front.Unlock()
	s.inFlight++
	s.peak = max(s.peak, s.inFlight)
	s.log = append(s.log, Request{Index: len(s.log) + 1, Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery})
	t := &turn{entry: len(s.log), epoch: s.epoch, wait: s.latency}
	if t.err = s.authenticate(r); t.err != nil {
		return t
	}
	if s.quota.limit > 0 {
		left, seconds, ok := s.quota.take(s.opt.Now())
		s.quota.header(h, left, seconds, ok)
		if !ok {
			t.err = &refusal{http.StatusTooManyRequests, codeRateLimit, "Please wait and consider throttling your request speed"}
			return t
		}
	}
	if t.fault = s.pick(r.Method, r.URL.Path); t.fault != nil {
		s.log[t.entry-1].Fault = t.fault.Kind
		t.wait += t.fault.Delay
	}
	return t
}

// leave completes the log entry, also where the handler aborts.
func (s *Server) leave(t *turn) {
	s.front.Lock()
	defer s.front.Unlock()
	s.inFlight--
	if t.epoch == s.epoch {
		s.log[t.entry-1].Status = t.status
	}
}

func (s *Server) authenticate(r *http.Request) *refusal {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case !ok || token == "":
		return &refusal{http.StatusUnauthorized, codeAuth, "Authentication error"}
	case s.opt.Token != "" && subtle.ConstantTimeCompare([]byte(token), []byte(s.opt.Token)) != 1:
		return &refusal{http.StatusForbidden, codeAuth, "Authentication error"}
	}
	return nil
}

// noRoute is the answer to an unknown path and to a malformed identifier in a known one; path is the whole path.
func noRoute(path string) *refusal {
	return &refusal{http.StatusNotFound, codeRoute, "Could not route to " + path + ", perhaps your object identifier is invalid?"}
}

// pause waits for d and tells whether the client is still there.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// asRefusal gives every error of a handler its place in the envelope.
func asRefusal(err error) *refusal {
	var known *refusal
	if errors.As(err, &known) {
		return known
	}
	return &refusal{http.StatusBadRequest, codeInvalid, err.Error()}
}
