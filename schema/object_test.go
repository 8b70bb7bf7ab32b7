package schema_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hactl/hactl/schema"
)

func TestMarkersKeepTheUsersText(t *testing.T) {
	pool := schema.ID{Kind: schema.KindPool, Name: "tokyo"}
	for text, want := range map[string]string{
		"":                           "hactl:home/pool/tokyo",
		"plain":                      "plain hactl:home/pool/tokyo",
		"日本 🚀":                       "日本 🚀 hactl:home/pool/tokyo",
		"see hactl:wiki/pool/x here": "see hactl:wiki/pool/x here hactl:home/pool/tokyo",
		"ends in hactl:a/pool/b":     "ends in hactl:a/pool/b hactl:home/pool/tokyo",
		"trailing ":                  "trailing  hactl:home/pool/tokyo",
	} {
		marked, err := schema.Mark(text, schema.Marker{Stack: "home", ID: pool})
		if err != nil || marked != want {
			t.Errorf("%q: got %q, %v; want %q", text, marked, err, want)
		}
		user, m, ok := schema.Unmark(marked)
		if !ok || user != text || !m.Names("home", pool) || m.Hashed() {
			t.Errorf("%q: came back as %q, %+v, %t", marked, user, m, ok)
		}
	}
}

func TestTextsWithoutAMarkerAreTheUsers(t *testing.T) {
	for _, text := range []string{
		"", "plain", "hactl:", "hactl:home", "hactl:home/pool", "hactl:home/pool/", "hactl:home/host", "hactl:home/thing/x",
		"nospacehactl:home/pool/tokyo", "hactl:/", "hactl://",
	} {
		if user, m, ok := schema.Unmark(text); ok || user != text || m != (schema.Marker{}) {
			t.Errorf("%q: %q, %+v, %t", text, user, m, ok)
		}
	}
}

func TestALongNameBecomesAHashWhereTheFieldIsShort(t *testing.T) {
	id := schema.ID{Kind: schema.KindDNSRecord, Name: strings.Repeat("long.", 20) + "example.com"}
	marked, err := schema.Mark("mine", schema.Marker{Stack: "home", ID: id})
	if err != nil || utf8.RuneCountInString(marked) > 100 {
		t.Fatalf("%q, %v", marked, err)
	}
	user, m, ok := schema.Unmark(marked)
	if !ok || user != "mine" || !m.Hashed() || !m.Names("home", id) {
		t.Errorf("%q: %q, %+v, %t", marked, user, m, ok)
	}
	other := id
	other.Name += "x"
	if m.Names("home", other) || m.Names("office", id) {
		t.Error("the marker names others too")
	}
}

func TestTheMarkerTakesExactlyTheRoomThereIs(t *testing.T) {
	id := schema.ID{Kind: schema.KindRoute, Name: "lan/10.0.0.0/8"}
	marker := len("hactl:home/route/lan/10.0.0.0/8")
	hashed := len("hactl:home/route/#0123456789ab")
	for _, c := range []struct {
		length int
		hash   bool
		fits   bool
	}{
		{100 - marker - 1, false, true}, {100 - marker, true, true}, {100 - hashed - 1, true, true}, {100 - hashed, true, false},
	} {
		text := strings.Repeat("é", c.length)
		marked, err := schema.Mark(text, schema.Marker{Stack: "home", ID: id})
		if (err == nil) != c.fits {
			t.Errorf("%d characters: %v", c.length, err)
			continue
		}
		if err != nil {
			continue
		}
		if user, m, _ := schema.Unmark(marked); user != text || m.Hashed() != c.hash || utf8.RuneCountInString(marked) > 100 {
			t.Errorf("%d characters: %q", c.length, marked)
		}
	}
}

func FuzzMarker(f *testing.F) {
	f.Add("text", "home", "pool", "tokyo")
	f.Add("hactl:a/pool/b ", "home", "dnsRecord", strings.Repeat("x", 200))
	f.Add("a hactl:", "x", "route", "lan/10.0.0.0/8")
	f.Add("", "", "network", "#")
	f.Fuzz(func(t *testing.T, text, stack, kind, name string) {
		id, err := schema.ParseID(kind + "/" + name)
		if err != nil || strings.Contains(stack, "/") || strings.Contains(stack, "hactl:") || strings.Contains(name, "hactl:") || strings.HasSuffix(name, "!") || !utf8.ValidString(text) {
			t.Skip()
		}
		marked, err := schema.Mark(text, schema.Marker{Stack: stack, ID: id, Protected: len(text)%2 == 1})
		if limit := schema.TextLimit(id.Kind); err == nil && limit > 0 && utf8.RuneCountInString(marked) > limit {
			t.Errorf("%q is too long", marked)
		}
		if err != nil {
			if schema.TextLimit(id.Kind) == 0 {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		user, m, ok := schema.Unmark(marked)
		if !ok || user != text || !m.Names(stack, id) || m.Protected != (len(text)%2 == 1) {
			t.Errorf("%q came back as %q, %+v, %t", marked, user, m, ok)
		}
	})
}

func FuzzID(f *testing.F) {
	for _, s := range []string{"pool/tokyo", "route/lan/10.0.0.0/8", "pool/", "/x", "pool", "zone/example.com", "Pool/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := schema.ParseID(s)
		if err != nil {
			if id != (schema.ID{}) {
				t.Errorf("%q: an error and %s", s, id)
			}
			return
		}
		if id.String() != s || id.Name == "" {
			t.Errorf("%q prints as %q", s, id)
		}
		var again schema.ID
		text, _ := id.MarshalText()
		if err := again.UnmarshalText(text); err != nil || again != id {
			t.Errorf("%q came back as %q, %v", s, again, err)
		}
	})
}

func TestIDsSortByKindThenName(t *testing.T) {
	kinds := schema.Kinds()
	for i := 1; i < len(kinds); i++ {
		if (schema.ID{Kind: kinds[i-1], Name: "z"}).Compare(schema.ID{Kind: kinds[i], Name: "a"}) >= 0 {
			t.Errorf("%s does not come before %s", kinds[i-1], kinds[i])
		}
	}
	a, b := schema.ID{Kind: "pool", Name: "a"}, schema.ID{Kind: "pool", Name: "b"}
	if a.Compare(b) >= 0 || b.Compare(a) <= 0 || a.Compare(a) != 0 {
		t.Error("names do not sort")
	}
}

func TestABadIDNamesWhatIsAllowed(t *testing.T) {
	for s, want := range map[string]string{
		"pool":    `"pool" is no object: want kind/name, such as pool/tokyo`,
		"pool/":   `"pool/" is no object: want kind/name, such as pool/tokyo`,
		"pools/x": `"pools" is no kind of object: want one of host, check, hook, virtualRouter, zone, network, tunnel, tunnelConfiguration, route, monitor, pool, loadBalancer, privateLoadBalancer, dnsRecord`,
	} {
		if _, err := schema.ParseID(s); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestDurationsReadWhatTheyPrint(t *testing.T) {
	for text, want := range map[string]string{
		"0s": "0s", "30s": "30s", "60s": "1m", "90s": "90s", "3600s": "1h", "1h30m": "90m", "100ms": "100ms", "1.5s": "1.5s", "1m0s": "1m", "86400s": "24h",
	} {
		var d, again schema.Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d.String() != want {
			t.Errorf("%s: got %s, %v; want %s", text, d, err, want)
		}
		printed, _ := d.MarshalText()
		if err := again.UnmarshalText(printed); err != nil || again != d {
			t.Errorf("%s came back as %s, %v", text, again, err)
		}
	}
	for _, text := range []string{"", "30", "s", "thirty", "1d"} {
		var d schema.Duration
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is %s", text, d)
		}
	}
}

func TestADurationBeyondAllBoundsIsStillOne(t *testing.T) {
	var d schema.Duration
	if err := d.UnmarshalText([]byte("99999999999h")); err != nil || time.Duration(d) < 200*365*24*time.Hour {
		t.Errorf("%s, %v", d, err)
	}
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{"30s", "1h1m1s", "0s", "100ms", "-1s", "1.5h", "9223372036854775807ns"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var d, again schema.Duration
		if d.UnmarshalText([]byte(s)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(d.String())); err != nil || again != d {
			t.Errorf("%q prints as %s, which is %s, %v", s, d, again, err)
		}
	})
}

func TestTTLs(t *testing.T) {
	for text, want := range map[string]schema.TTL{"auto": schema.AutoTTL, "1m": 60, "61s": 61, "1h": 3600} {
		var ttl schema.TTL
		if err := ttl.UnmarshalText([]byte(text)); err != nil || ttl != want {
			t.Errorf("%s: got %d, %v; want %d", text, ttl, err, want)
		}
		if printed, _ := ttl.MarshalText(); string(printed) != text {
			t.Errorf("%s prints as %s", text, printed)
		}
	}
	for _, text := range []string{"", "1.5s", "never", "60"} {
		var ttl schema.TTL
		if err := ttl.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is %d", text, ttl)
		}
	}
}

func TestObjectsOfEveryKindComeBackFromTheirJSON(t *testing.T) {
	kinds := map[schema.Kind]bool{}
	for _, o := range home().Objects() {
		kinds[o.ID().Kind] = true
		b, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		back, err := schema.Decode(o.ID(), b)
		if err != nil {
			t.Errorf("%s: %v", o.ID(), err)
			continue
		}
		if p, ok := o.(schema.Pool); ok {
			p.Routes = nil // Found anew by Objects.
			o = p
		}
		if !reflect.DeepEqual(back, o) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", o.ID(), back, o)
		}
	}
	if len(kinds) != 9 {
		t.Errorf("not every kind was there: %v", kinds)
	}
}

func TestDecodeRefusesWhatIsNotThatObject(t *testing.T) {
	for _, c := range []struct{ id, json, want string }{
		{"pool/p", `{"colour": 1}`, `pool/p: json: unknown field "colour"`},
		{"pool/p", `[`, `pool/p: unexpected EOF`},
		{"route/10.0.0.0/8", `{"cidr": "10.0.0.0/9", "tunnel": "t"}`, `route/10.0.0.0/8: is called route/10.0.0.0/9 inside`},
		{"zone/example.com", `{}`, `zone/example.com: objects of this kind have no JSON form of their own`},
	} {
		id, err := schema.ParseID(c.id)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := schema.Decode(id, []byte(c.json)); err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	s := schema.SecretRef{Env: "TUNNEL_SECRET"}
	if got := s.String(); got != "(secret)" {
		t.Error(got)
	}
}

func TestIngressRulesMatchHostnames(t *testing.T) {
	for _, c := range []struct {
		rule, hostname string
		want           bool
	}{
		{"", "a.example.com", true}, {"*", "a.example.com", true}, {"A.example.com", "a.EXAMPLE.com", true},
		{"*.example.com", "a.Example.com", true}, {"*.example.com", "a.b.example.com", true}, {"*.example.com", "example.com", false},
		{"*.example.com", "badexample.com", false}, {"a.example.com", "b.example.com", false},
	} {
		if got := (schema.IngressRule{Hostname: c.rule}).Matches(c.hostname); got != c.want {
			t.Errorf("%q matches %q: %t", c.rule, c.hostname, got)
		}
	}
}

func TestRecordsHaveOneCanonicalForm(t *testing.T) {
	for _, c := range []struct{ name, kind, content, wantName, wantContent string }{
		{"@", "A", "192.0.2.1", "example.com", "192.0.2.1"},
		{"WWW", "AAAA", "2001:DB8:0:0::1", "www.example.com", "2001:db8::1"},
		{"www.example.com.", "CNAME", "Target.Example.NET.", "www.example.com", "target.example.net"},
		{"example.com", "MX", "Mail.example.com.", "example.com", "mail.example.com"},
		{"badexample.com", "TXT", "Keep As Is.", "badexample.com.example.com", "Keep As Is."},
	} {
		r := schema.DNSRecord{Zone: "Example.COM", Name: c.name, Type: c.kind, Content: c.content}.Canonical()
		if r.Zone != "example.com" || r.Name != c.wantName || r.Content != c.wantContent {
			t.Errorf("%+v: got %+v", c, r)
		}
		if !reflect.DeepEqual(r.Canonical(), r) {
			t.Errorf("%+v is not canonical yet", r)
		}
	}
}

func TestRecordsExcludeEachOther(t *testing.T) {
	record := func(name, kind, content string) schema.DNSRecord {
		return schema.DNSRecord{Zone: "example.com", Name: name, Type: kind, Content: content}
	}
	elsewhere := record("www", "A", "192.0.2.1")
	elsewhere.Zone = "example.org"
	data := func(flags float64) schema.DNSRecord {
		r := record("www", "CAA", "")
		r.Data = map[string]any{"flags": flags}
		return r
	}
	for name, c := range map[string]struct {
		a, b schema.DNSRecord
		want bool
	}{
		"two addresses":                {record("www", "A", "192.0.2.1"), record("www", "A", "192.0.2.2"), false},
		"an address twice":             {record("www", "A", "192.0.2.1"), record("WWW.example.com", "A", "192.0.2.1"), true},
		"addresses of two families":    {record("www", "A", "192.0.2.1"), record("www", "AAAA", "2001:db8::1"), false},
		"an address and a CNAME":       {record("www", "A", "192.0.2.1"), record("www", "CNAME", "a.example.com"), true},
		"two CNAMEs":                   {record("www", "CNAME", "a.example.com"), record("www", "CNAME", "b.example.com"), true},
		"other names":                  {record("www", "CNAME", "a.example.com"), record("w3", "CNAME", "b.example.com"), false},
		"other zones":                  {record("www", "A", "192.0.2.1"), elsewhere, false},
		"a text and an address":        {record("www", "TXT", "x"), record("www", "A", "192.0.2.1"), false},
		"two texts":                    {record("www", "TXT", "x"), record("www", "TXT", "y"), false},
		"a text twice":                 {record("www", "TXT", "x"), record("www", "TXT", "x"), true},
		"a text and a CNAME":           {record("www", "TXT", "x"), record("www", "CNAME", "a.example.com"), false},
		"parts, of which there may be": {data(0), data(1), false},
	} {
		if c.a.Excludes(c.b) != c.want || c.b.Excludes(c.a) != c.want {
			t.Errorf("%s: %t and %t, want %t", name, c.a.Excludes(c.b), c.b.Excludes(c.a), c.want)
		}
	}
	if record("www", "A", "x").Excludes(schema.Pool{}) {
		t.Error("a record excludes a pool")
	}
}
