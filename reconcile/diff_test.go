package reconcile_test

import (
	"time"

	"reflect"
	"slices"
	"testing"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

func TestWhatIsAsWantedNeedsNothing(t *testing.T) {
	objects := []schema.Object{monitor("m"), pool("p", "m", "a.example.com"), balancer("www.example.com", "p"), tunnel("t"), configuration("t")}
	p := reconcile.Diff(desired(objects...), live(objects...))
	wantPlan(t, p)
	if !p.Empty() || p.Steps == nil || p.Conflicts == nil || p.Notices == nil || p.Violations == nil {
		t.Errorf("%+v", p)
	}
}

func TestCreationsFollowReferences(t *testing.T) {
	wantPlan(t, reconcile.Diff(desired(balancer("www.example.com", "p"), pool("p", "m", "a.example.com"), monitor("m")), live()),
		"create monitor/m",
		"create pool/p after [monitor/m]",
		"create loadBalancer/www.example.com after [pool/p]")
}

func TestDeletionsComeLastAfterTheirReferrersMovedAway(t *testing.T) {
	wantPlan(t, reconcile.Diff(desired(balancer("www.example.com", "new"), pool("new", "", "a.example.com")),
		live(balancer("www.example.com", "old"), balancer("app.example.com", "old"), pool("old", "m", "a.example.com"), monitor("m"))),
		"create pool/new",
		"update loadBalancer/www.example.com at h-loadBalancer/www.example.com defaultPools: [old] -> [new] fallbackPool: old -> new after [pool/new]",
		"delete loadBalancer/app.example.com at h-loadBalancer/app.example.com",
		"delete pool/old at h-pool/old after [loadBalancer/app.example.com loadBalancer/www.example.com]",
		"delete monitor/m at h-monitor/m after [pool/old]")
}

func TestAnImmutableFieldMakesAReplacement(t *testing.T) {
	before, after := balancer("www.example.com", "p"), balancer("www.example.com", "p")
	after.Zone = "www.example.com"
	p := reconcile.Diff(desired(after, pool("p", "")), live(before, pool("p", "")))
	wantPlan(t, p, "replace loadBalancer/www.example.com at h-loadBalancer/www.example.com (zone cannot be changed in place) zone: example.com -> www.example.com")
	if p.Summary != (reconcile.Summary{Replace: 1}) {
		t.Errorf("%+v", p.Summary)
	}
}

func TestAForeignObjectOfTheNameIsAConflictThatHoldsWhatRefersToIt(t *testing.T) {
	l := live()
	l.Entries = append(l.Entries, foreign(monitor("m")))
	p := reconcile.Diff(desired(monitor("m"), pool("p", "m"), balancer("www.example.com", "p"), pool("q", "")), l)
	wantPlan(t, p,
		"create pool/q",
		"conflict monitor/m at h-monitor/m: exists and is not hactl's: take it over with hactl adopt monitor/m h-monitor/m, or name yours otherwise",
		"notice pool/p: waits for monitor/m: it is in conflict",
		"notice loadBalancer/www.example.com: waits for pool/p: it waits for monitor/m")
	if p.Empty() {
		t.Error("a plan in conflict is not empty")
	}
}

func TestAForeignRecordInTheWayIsAConflict(t *testing.T) {
	for name, before := range map[string][]reconcile.Entry{
		"of a creation": nil,
		"of an update":  {entry(record("mine", "old", "CNAME", "a.example.net"))},
	} {
		t.Run(name, func(t *testing.T) {
			l := reconcile.Live{Entries: append(before, foreign(record("f1", "www", "A", "192.0.2.1")))}
			wantPlan(t, reconcile.Diff(desired(record("mine", "www", "CNAME", "a.example.net")), l),
				"conflict dnsRecord/mine at h-dnsRecord/f1: the A record of www.example.com (192.0.2.1) stands in the way and is not hactl's: take it over with hactl adopt dnsRecord/mine h-dnsRecord/f1, or delete it")
		})
	}
	l := reconcile.Live{Entries: []reconcile.Entry{foreign(record("f1", "www", "TXT", "x")), foreign(record("f2", "app", "A", "192.0.2.1"))}}
	wantPlan(t, reconcile.Diff(desired(record("mine", "www", "CNAME", "a.example.net")), l), "create dnsRecord/mine")
}

func TestReadOnlyEntriesAreNeverPlanned(t *testing.T) {
	e := foreign(monitor("m"))
	e.ReadOnly = true
	owned := entry(pool("p", ""))
	owned.ReadOnly = true
	wantPlan(t, reconcile.Diff(desired(monitor("m")), reconcile.Live{Entries: []reconcile.Entry{e, owned}}), "create monitor/m")
}

func TestTheSecondOfTwoWithOneMarkerIsHealedAway(t *testing.T) {
	first, second := entry(monitor("m")), entry(monitor("m"))
	first.Handle, first.Created = "h1", "2026-01-01T00:00:00Z"
	second.Handle, second.Created = "h2", "2026-01-02T00:00:00Z"
	user := entry(pool("p", "id:h2"))
	user.Refers = []reconcile.Handle{"h2"}
	wantPlan(t, reconcile.Diff(desired(monitor("m"), pool("p", "m")), reconcile.Live{Entries: []reconcile.Entry{user, second, first}}),
		"update pool/p at h-pool/p monitor: id:h2 -> m",
		"delete monitor/m#h2 at h2 (a second object with one marker: a creation whose answer was lost) after [pool/p]")
}

func TestASecondObjectThatDiffersIsLeftAlone(t *testing.T) {
	first, second := entry(monitor("m")), entry(monitor("m"))
	first.Handle, second.Handle = "h1", "h2"
	changed := monitor("m")
	changed.Retries = 5
	second.Object = changed
	wantPlan(t, reconcile.Diff(desired(monitor("m")), reconcile.Live{Entries: []reconcile.Entry{first, second}}),
		"notice monitor/m: h2 carries its marker too and differs, so it is no lost creation: left alone")
}

func TestEveryUnwantedObjectWithOneMarkerGoes(t *testing.T) {
	var entries []reconcile.Entry
	for _, h := range []reconcile.Handle{"h1", "h2", "h3"} {
		e := entry(monitor("m"))
		e.Handle = h
		entries = append(entries, e)
	}
	wantPlan(t, reconcile.Diff(desired(), reconcile.Live{Entries: entries}),
		"delete monitor/m at h1", "delete monitor/m#h2 at h2", "delete monitor/m#h3 at h3")
}

func TestARecordTakesThePlaceOfWhatExcludesIt(t *testing.T) {
	p := reconcile.Diff(desired(record("new", "www", "CNAME", "a.example.net")), live(record("old", "www", "A", "192.0.2.1")))
	wantPlan(t, p, "replace dnsRecord/new at h-dnsRecord/old for dnsRecord/old (takes the place of dnsRecord/old) content: 192.0.2.1 -> a.example.net type: A -> CNAME")
	for _, name := range []string{"dnsRecord/new", "dnsRecord/old"} {
		if p.Basis[id(t, name)] == "" {
			t.Errorf("the basis does not hold %s: %v", name, p.Basis)
		}
	}
}

func TestWhatExcludesARecordIsOutOfTheWayFirst(t *testing.T) {
	wantPlan(t, reconcile.Diff(desired(record("new", "www", "CNAME", "a.example.net")),
		live(record("a1", "www", "A", "192.0.2.1"), record("a2", "www", "A", "192.0.2.2"))),
		"delete dnsRecord/a2 at h-dnsRecord/a2",
		"replace dnsRecord/new at h-dnsRecord/a1 for dnsRecord/a1 (takes the place of dnsRecord/a1) content: 192.0.2.1 -> a.example.net type: A -> CNAME after [dnsRecord/a2]")
	wantPlan(t, reconcile.Diff(desired(record("b", "www", "CNAME", "a.example.net"), record("a", "old", "CNAME", "a.example.net")),
		live(record("a", "www", "CNAME", "a.example.net"), record("b", "new", "CNAME", "a.example.net"))),
		"update dnsRecord/a at h-dnsRecord/a name: www.example.com -> old.example.com",
		"update dnsRecord/b at h-dnsRecord/b name: new.example.com -> www.example.com after [dnsRecord/a]")
}

func TestRecordsThatTradeNamesDoNotWaitForEachOther(t *testing.T) {
	wantPlan(t, reconcile.Diff(desired(record("a", "b", "CNAME", "x.example.net"), record("b", "a", "CNAME", "x.example.net")),
		live(record("a", "a", "CNAME", "x.example.net"), record("b", "b", "CNAME", "x.example.net"))),
		"update dnsRecord/b at h-dnsRecord/b name: b.example.com -> a.example.com",
		"update dnsRecord/a at h-dnsRecord/a name: a.example.com -> b.example.com after [dnsRecord/b]")
}

func TestNothingIsDoneOnTheStrengthOfAFailedRead(t *testing.T) {
	d := desired(monitor("m"), pool("p", "m"), balancer("www.example.com", "p"), record("r", "a", "A", "192.0.2.1"))
	t.Run("a kind", func(t *testing.T) {
		l := live(pool("gone", ""))
		l.Unknown = []reconcile.Unknown{{Kind: schema.KindMonitor, Err: errUnread}}
		wantPlan(t, reconcile.Diff(d, l),
			"create dnsRecord/r",
			"delete pool/gone at h-pool/gone",
			"notice monitor/m: could not be read, so nothing is done about it: timeout",
			"notice pool/p: waits for monitor/m: it could not be read",
			"notice loadBalancer/www.example.com: waits for pool/p: it waits for monitor/m")
	})
	t.Run("a zone", func(t *testing.T) {
		l := live()
		l.Unknown = []reconcile.Unknown{{Kind: schema.KindZone, Name: "example.com", Err: errUnread}}
		wantPlan(t, reconcile.Diff(d, l),
			"create monitor/m",
			"create pool/p after [monitor/m]",
			"notice loadBalancer/www.example.com: waits for zone/example.com: timeout",
			"notice dnsRecord/r: waits for zone/example.com: timeout")
	})
	t.Run("one object", func(t *testing.T) {
		l := live(pool("p", "m"))
		l.Unknown = []reconcile.Unknown{{Kind: schema.KindPool, Name: "p", Err: errUnread}}
		wantPlan(t, reconcile.Diff(desired(pool("q", "")), l), "create pool/q")
	})
	t.Run("an unwanted kind", func(t *testing.T) {
		l := live(monitor("m"))
		l.Unknown = []reconcile.Unknown{{Kind: schema.KindMonitor, Err: errUnread}}
		wantPlan(t, reconcile.Diff(desired(), l), "notice monitor/*: could not be read, so what hactl may own there stays: timeout")
	})
}

func TestWhatAForeignObjectUsesStays(t *testing.T) {
	l := live(monitor("m"), pool("p", "m"))
	l.Entries = append(l.Entries, foreign(balancer("www.example.com", "p")))
	wantPlan(t, reconcile.Diff(desired(), l),
		"notice monitor/m: is still used by pool/p and stays",
		"notice pool/p: is still used by loadBalancer/www.example.com and stays")
}

func TestAConfigurationGoesWithItsTunnel(t *testing.T) {
	wantPlan(t, reconcile.Diff(desired(), live(tunnel("t"), configuration("t"))), "delete tunnel/t at h-tunnel/t")
}

func TestAForeignTunnelIsOneConflictNotTwo(t *testing.T) {
	l := reconcile.Live{Entries: []reconcile.Entry{foreign(tunnel("t")), foreign(configuration("t"))}}
	wantPlan(t, reconcile.Diff(desired(tunnel("t"), configuration("t")), l),
		"conflict tunnel/t at h-tunnel/t: exists and is not hactl's: take it over with hactl adopt tunnel/t h-tunnel/t, or name yours otherwise",
		"notice tunnelConfiguration/t: waits for its tunnel, which is in conflict")
}

func TestATunnelConfiguredOnItsHostIsAConflict(t *testing.T) {
	local := tunnel("t")
	local.ConfigSrc = "local"
	p := reconcile.Diff(desired(tunnel("t"), configuration("t")), live(local))
	wantPlan(t, p,
		"conflict tunnel/t at h-tunnel/t: is configured by a file on its host, which cannot be changed: delete it, or give yours another name",
		"notice tunnelConfiguration/t: waits for tunnel/t: it is in conflict")
}

func TestThePrivateAddressIsToldAndNoDifference(t *testing.T) {
	with := private("app", "p")
	with.VIP = "100.112.0.1"
	wantPlan(t, reconcile.Diff(desired(private("app", "p"), pool("p", "")), live(with, pool("p", ""))),
		"notice privateLoadBalancer/app: answers at 100.112.0.1")
}

func TestTheLastDefaultNetworkStays(t *testing.T) {
	network := func(name string, standard bool) schema.Network {
		return schema.Network{Name: name, IsDefaultNetwork: standard}
	}
	const only = "is the account's default network, and Cloudflare wants one: set isDefaultNetwork on another network first"
	wantPlan(t, reconcile.Diff(desired(), live(network("a", true))), "conflict network/a at h-network/a: "+only)
	wantPlan(t, reconcile.Diff(desired(network("a", false)), live(network("a", true))), "conflict network/a at h-network/a: "+only)
	wantPlan(t, reconcile.Diff(desired(network("b", true)), live(network("a", true), network("b", false))),
		"update network/b at h-network/b isDefaultNetwork: false -> true",
		"delete network/a at h-network/a after [network/b]")
}

func TestDiffLeavesItsArgumentsAlone(t *testing.T) {
	l := live(pool("z", ""), monitor("a"))
	before := slices.Clone(l.Entries)
	d := desired(pool("p", "m"), monitor("m"))
	reconcile.Diff(d, l)
	if !reflect.DeepEqual(l.Entries, before) || len(d.Objects) != 2 {
		t.Error("the entries were moved")
	}
}

func TestEntriesSortByIDThenAgeThenHandle(t *testing.T) {
	at := func(h reconcile.Handle, created string) reconcile.Entry {
		e := entry(monitor("m"))
		e.Handle, e.Created = h, created
		return e
	}
	l := reconcile.Live{Entries: []reconcile.Entry{entry(pool("a", "")), at("3", "2026"), at("2", "2026"), at("9", "2025"), at("2", "2026")}}
	l.Sort()
	var got []reconcile.Handle
	for _, e := range l.Entries {
		got = append(got, e.Handle)
	}
	if want := []reconcile.Handle{"9", "2", "2", "3", "h-pool/a"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTheOwnedThenTheOlderHandleStandsForAnID(t *testing.T) {
	old, owned, younger := foreign(monitor("m")), entry(monitor("m")), entry(monitor("m"))
	old.Handle, owned.Handle, younger.Handle = "foreign", "owned", "younger"
	l := reconcile.Live{Entries: []reconcile.Entry{old, owned, younger}}
	if got := l.Handles()[id(t, "monitor/m")]; got != "owned" {
		t.Errorf("got %s", got)
	}
}

func TestTheJournalOwnsByHandle(t *testing.T) {
	j := reconcile.Journal{Owned: map[schema.ID]reconcile.Handle{id(t, "tunnel/a"): "1"}, Pending: map[schema.ID]time.Time{
		id(t, "tunnel/b"): time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), id(t, "tunnel/a"): {},
	}}
	for _, c := range []struct {
		id      string
		handle  reconcile.Handle
		wanted  bool
		created string
		want    bool
	}{
		{"tunnel/a", "1", false, "", true},
		{"tunnel/a", "2", true, "2026-11-22T12:00:01Z", false},
		{"tunnel/b", "7", true, "2026-11-22T12:00:01Z", true},
		{"tunnel/b", "7", true, "2026-11-22T11:59:00Z", true}, // clocks differ
		{"tunnel/b", "7", true, "2026-11-22T11:50:00Z", false},
		{"tunnel/b", "7", true, "", false},
		{"tunnel/b", "7", false, "2026-11-22T12:00:01Z", false},
		{"tunnel/c", "1", true, "2026-11-22T12:00:01Z", false},
	} {
		if got := j.Owns(id(t, c.id), c.handle, c.wanted, c.created); got != c.want {
			t.Errorf("%+v: %t", c, got)
		}
	}
}
