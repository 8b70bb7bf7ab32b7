package status

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/follow"
)

// Metrics counts what happens, and shows it with how things are in Prometheus'
// format. Use NewMetrics.
type Metrics struct {
	facts    func() Facts
	registry *prometheus.Registry

	events   *prometheus.CounterVec
	refusals *prometheus.CounterVec
	steps    *prometheus.CounterVec
	waited   prometheus.Counter
}

// NewMetrics makes metrics of facts, which is called for each scrape.
func NewMetrics(facts func() Facts) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "hactl", Name: name, Help: help}, labels)
	}
	m := &Metrics{
		facts: facts, registry: prometheus.NewRegistry(),
		events:   counter("events_total", "What the agent decided or found, by kind.", "kind"),
		refusals: counter("refusals_total", "Revisions that were refused, by reason.", "reason"),
		steps:    counter("edge_steps_total", "Steps carried out at the edge, by action and result.", "action", "result"),
		waited:   prometheus.NewCounter(prometheus.CounterOpts{Namespace: "hactl", Name: "api_waits_total", Help: "Pauses before a request, for the budget or because the server asked."}),
	}
	for _, r := range []follow.Reason{follow.Untrusted, follow.Rewound, follow.Invalid, follow.Guarded, follow.Unfit} {
		m.refusals.WithLabelValues(string(r))
	}
	m.registry.MustRegister(
		m.events, m.refusals, m.steps, m.waited, &collector{facts: facts},
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector(),
	)
	return m
}

// Follow counts an event of a Follower or Keeper.
func (m *Metrics) Follow(e follow.Event) {
	m.events.WithLabelValues(string(e.Kind)).Inc()
	if e.Kind == follow.EventRefused {
		m.refusals.WithLabelValues(string(e.Reason)).Inc()
	}
}

// Observe counts an event of a plan's execution.
func (m *Metrics) Observe(e reconcile.Event) {
	switch e.Kind {
	case reconcile.StepDone, reconcile.StepFailed, reconcile.StepSkipped, reconcile.StepAborted:
		m.steps.WithLabelValues(string(e.Step.Action), string(e.Kind)).Inc()
	case reconcile.WaitForBudget, reconcile.WaitForServer:
		m.waited.Inc()
	}
}

// ServeHTTP writes the metrics.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}

// collector turns facts into metrics, each time it is asked.
type collector struct {
	facts func() Facts
	mu    sync.Mutex
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("hactl_"+name, help, labels, nil)
}

var (
	buildInfo       = desc("build_info", "1, with what runs.", "host", "build")
	revisionInfo    = desc("revision_info", "1, with the revision that runs and who signed it.", "revision", "signer")
	acceptedAt      = desc("revision_accepted_timestamp_seconds", "When the revision that runs was accepted.")
	restored        = desc("revision_restored", "1 while what runs came from the disk and the source has not confirmed it.")
	refusedInfo     = desc("refused", "1 while the source has a revision that is refused.", "reason")
	fetchSuccess    = desc("fetch_last_success_timestamp_seconds", "When the source was last read.")
	fetchFailing    = desc("fetch_failing", "1 while the source cannot be read.")
	suspended       = desc("suspended", "1 while nothing is followed.")
	unsaved         = desc("last_good_unsaved", "1 while the last good specification is not on the disk.")
	leads           = desc("leader", "1 while this host applies edge changes.")
	edgePending     = desc("edge_pending_steps", "Steps of a revision that was not applied, as of the last look.")
	edgeDrift       = desc("edge_drift_steps", "Changes behind the specification's back, as of the last look.")
	edgeConflicts   = desc("edge_conflicts", "Objects in the way, as of the last look.")
	edgeViolations  = desc("edge_violations", "Guard rails in the way, as of the last look.")
	edgeFailing     = desc("edge_failing", "1 while the last attempt to apply failed.")
	edgeObjects     = desc("edge_objects", "Objects wanted at the edge.")
	edgeLooked      = desc("edge_read_timestamp_seconds", "When this host read the edge last.")
	edgeApplied     = desc("edge_last_success_timestamp_seconds", "When this host last applied a revision whole.")
	edgeWaiting     = desc("edge_waiting", "1 while this host leads and waits, such as for a token.")
	edgeHealthRead  = desc("edge_health_read_timestamp_seconds", "When this host last read how the edge does.")
	edgePool        = desc("edge_pool_healthy", "1 while most data centers find the pool healthy; absent where it is not known.", "pool")
	edgeConnectors  = desc("edge_tunnel_connectors", "Connectors that are connected for the tunnel; absent where it is not known.", "tunnel")
	hostUnfit       = desc("host_unfit", "1 while the host cannot be told again what runs, such as without a secret.")
	hostDrift       = desc("host_drift_steps", "What of this host is not as the specification has it.")
	apiRequests     = desc("api_requests_total", "Requests sent to Cloudflare.")
	apiLeft         = desc("api_budget_remaining", "Requests that may be sent in the present window.")
	engineUp        = desc("engine_up", "1 while the VRRP engine answers; absent where none is to run.")
	engineFIFO      = desc("engine_realtime", "1 if the VRRP engine has real-time scheduling.")
	engineLate      = desc("engine_lateness_max_seconds", "By how much the VRRP engine's timers were late at worst.")
	routerState     = desc("router_state", "1 for the state that the Virtual Router is in.", "router", "state")
	routerPriority  = desc("router_priority", "Effective priority.", "router", "interface", "vrid")
	routerProblem   = desc("router_problem", "1 while something keeps it from working.", "router")
	routerMoves     = desc("router_transitions_total", "Transitions, by the state they led to.", "router", "to")
	routerAdverts   = desc("router_advertisements_total", "Advertisements.", "router", "direction")
	routerDrops     = desc("router_dropped_total", "Packets that were not accepted, by reason.", "router", "reason")
	linkUp          = desc("link_up", "1 while the interface is up.", "interface")
	checkOK         = desc("check_ok", "1 if the health check passed last; absent before it was tried.", "check")
	allDescriptions = []*prometheus.Desc{
		buildInfo, revisionInfo, acceptedAt, restored, refusedInfo, fetchSuccess, fetchFailing, suspended, unsaved, leads,
		edgePending, edgeDrift, edgeConflicts, edgeViolations, edgeFailing, edgeObjects, edgeLooked, edgeApplied, edgeWaiting,
		edgeHealthRead, edgePool, edgeConnectors, hostUnfit, hostDrift,
		apiRequests, apiLeft, engineUp, engineFIFO, engineLate, routerState, routerPriority, routerProblem, routerMoves, routerAdverts, routerDrops,
		linkUp, checkOK,
	}
)

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range allDescriptions {
		ch <- d
	}
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.facts()
	// A label that is not UTF-8 would cost the whole scrape.
	valid := func(labels []string) []string {
		for i, l := range labels {
			labels[i] = strings.ToValidUTF8(l, "?")
		}
		return labels
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, valid(labels)...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), valid(labels)...)
	}
	at := func(d *prometheus.Desc, t time.Time) {
		if !t.IsZero() {
			gauge(d, float64(t.UnixMilli())/1000)
		}
	}
	gauge(buildInfo, 1, f.Host, f.Build)
	if f.Follow.Revision != "" {
		gauge(revisionInfo, 1, f.Follow.Revision, f.Follow.Signer)
	}
	at(acceptedAt, f.Follow.Accepted)
	gauge(restored, number(f.Follow.Restored))
	for _, r := range []follow.Reason{follow.Untrusted, follow.Rewound, follow.Invalid, follow.Guarded, follow.Unfit} {
		gauge(refusedInfo, number(f.Follow.Refused != nil && f.Follow.Refused.Reason == r), string(r))
	}
	at(fetchSuccess, f.Follow.Fetch.Success)
	gauge(fetchFailing, number(f.Follow.Fetch.Err != ""))
	gauge(suspended, number(f.Follow.Suspended != nil))
	gauge(unsaved, number(f.Follow.Unsaved != ""))
	gauge(leads, number(f.Edge.Leadership.Mine))
	gauge(edgePending, float64(len(f.Edge.Pending)))
	gauge(edgeDrift, float64(len(f.Edge.Drift)))
	gauge(edgeConflicts, float64(len(f.Edge.Conflicts)))
	gauge(edgeViolations, float64(len(f.Edge.Violations)))
	gauge(edgeFailing, number(f.Edge.Err != ""))
	gauge(edgeObjects, float64(f.Edge.Objects))
	at(edgeLooked, f.Edge.Looked)
	at(edgeApplied, f.Edge.Applied)
	gauge(edgeWaiting, number(f.Edge.Waits != ""))
	if h := f.Edge.Health; h != nil {
		at(edgeHealthRead, h.Read)
		for name, p := range h.Pools { // Of the specification: those are bounded.
			gauge(edgePool, number(p.Healthy), name)
		}
		for name, t := range h.Tunnels {
			// A tunnel that serves, and whose connectors could not be read.
			if serves := t.Status == "healthy" || t.Status == "degraded"; serves && len(t.Connectors) == 0 {
				continue
			}
			gauge(edgeConnectors, float64(len(t.Connectors)), name)
		}
	}
	gauge(hostUnfit, number(f.Follow.Unfit != ""))
	gauge(hostDrift, float64(f.Drift))
	if f.API != nil {
		count(apiRequests, uint64(f.API.Requests))
		gauge(apiLeft, float64(f.API.Left))
	}
	if f.Engine != nil || f.EngineErr != nil { // else none is to run here
		gauge(engineUp, number(f.Engine != nil))
	}
	if f.Engine == nil {
		return
	}
	gauge(engineFIFO, number(f.Engine.FIFO))
	gauge(engineLate, f.Engine.Late.Seconds())
	for _, r := range f.Engine.Routers {
		for _, s := range states {
			gauge(routerState, number(s == r.State), r.Name, s)
		}
		gauge(routerPriority, float64(r.Priority), r.Name, r.Interface, strconv.Itoa(r.VRID))
		gauge(routerProblem, number(r.Problem != ""), r.Name)
		count(routerAdverts, r.Sent, r.Name, "sent")
		count(routerAdverts, r.Received, r.Name, "received")
		for to, n := range r.Transitions {
			count(routerMoves, n, r.Name, to)
		}
		for reason, n := range r.Dropped {
			count(routerDrops, n, r.Name, reason)
		}
	}
	for _, l := range f.Engine.Links {
		gauge(linkUp, number(l.Up), l.Name)
	}
	for _, check := range f.Engine.Checks {
		if check.Tried {
			gauge(checkOK, number(check.OK), check.Name)
		}
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
