package cfsim_test

import (
	"strings"
	"testing"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
)

func TestRecordDefaults(t *testing.T) {
	a := start(t, cfsim.Options{})
	dns := a.zone + "/dns_records"
	made := a.ok("POST", dns, `{"type":"A","name":"WWW","content":"192.0.2.1"}`)
	a.equal(made, `{"type":"A","name":"www.example.com","content":"192.0.2.1","ttl":1,"proxied":false,"comment":null,"tags":[],"settings":{},
		"meta":{"auto_added":false,"managed_by_apps":false,"managed_by_argo_tunnel":false},"proxiable":true,"zone_name":"example.com","zone_id":"`+a.sim.ZoneID("example.com")+`"}`)
	a.absent(made, "comment_modified_on", "tags_modified_on")
	for name, want := range map[string]string{"@": "example.com", "Example.COM.": "example.com", "a.example.com": "a.example.com", "a.b": "a.b.example.com"} {
		a.equal(a.ok("POST", dns, `{"type":"TXT","name":"%s","content":"x %s"}`, name, name), `{"name":"`+want+`","proxiable":false}`)
	}
	a.equal(a.ok("POST", dns, `{"type":"SRV","name":"_sip._tcp","data":{"priority":1,"weight":2,"port":5060,"target":"sip.example.com"}}`),
		`{"content":"1 2 5060 sip.example.com"}`)
	a.equal(a.ok("POST", dns, `{"type":"CNAME","name":"alias","content":"WWW.example.net."}`),
		`{"content":"www.example.net","settings":{"flatten_cname":false}}`)
	path := dns + "/" + id(made)
	a.equal(a.ok("PATCH", path, `{"comment":"c"}`), `{"comment":"c","comment_modified_on":"2026-11-01T12:00:00.000000Z","content":"192.0.2.1"}`)
	cleared := a.ok("PATCH", path, `{"comment":null}`)
	a.equal(cleared, `{"comment":null}`)
	a.absent(cleared, "comment_modified_on")
	a.equal(a.ok("PUT", path, `{"type":"A","name":"other","content":"192.0.2.1"}`), `{"name":"other.example.com","id":"`+id(made)+`"}`)
	a.ok("POST", dns, `{"type":"A","name":"www","content":"192.0.2.1"}`) // the old name is free
}

func TestRecordRefusals(t *testing.T) {
	a := start(t, cfsim.Options{})
	dns := a.zone + "/dns_records"
	www := id(a.ok("POST", dns, `{"type":"A","name":"www","content":"192.0.2.1"}`))
	a.ok("POST", dns, `{"type":"A","name":"www","content":"192.0.2.2"}`) // round robin
	a.ok("POST", dns, `{"type":"CNAME","name":"alias","content":"www.example.com"}`)
	for body, code := range map[string]int{
		`{"type":"A","name":"www","content":"192.0.2.1"}`:              81057,
		`{"type":"A","name":"WWW.example.com","content":"192.0.2.1"}`:  81057,
		`{"type":"CNAME","name":"alias","content":"WWW.example.com."}`: 81057,
		`{"type":"CNAME","name":"www","content":"x.example.net"}`:      81053,
		`{"type":"CNAME","name":"alias","content":"x.example.net"}`:    81053,
		`{"type":"A","name":"alias","content":"192.0.2.1"}`:            81053,
		`{"type":"AAAA","name":"alias","content":"2001:db8::1"}`:       81053,
	} {
		a.refused(400, code, "", "POST", dns, "%s", body)
	}
	for body, words := range map[string]string{
		`{"name":"x","content":"192.0.2.1"}`:                                                         "type: is required",
		`{"type":"A","content":"192.0.2.1"}`:                                                         "name: is required",
		`{"type":"A","name":"x"}`:                                                                    "content: is required",
		`{"type":"B","name":"x","content":"192.0.2.1"}`:                                              "type:",
		`{"type":"A","name":"x","content":"2001:db8::1"}`:                                            "content:",
		`{"type":"AAAA","name":"x","content":"192.0.2.1"}`:                                           "content:",
		`{"type":"CNAME","name":"x","content":"x.example.com"}`:                                      "itself",
		`{"type":"A","name":"x","content":"192.0.2.1","proxied":true,"ttl":60}`:                      "ttl: must be 1",
		`{"type":"TXT","name":"x","content":"t","proxied":true}`:                                     "cannot be proxied",
		`{"type":"A","name":"x","content":"192.0.2.1","ttl":59}`:                                     "ttl:",
		`{"type":"A","name":"x","content":"192.0.2.1","ttl":86401}`:                                  "ttl:",
		`{"type":"MX","name":"x","content":"mx.example.net"}`:                                        "priority: is required",
		`{"type":"A","name":"x","content":"192.0.2.1","data":{"a":1}}`:                               "data: is not used",
		`{"type":"CAA","name":"x","content":"0 issue ca.example.net"}`:                               "data: is required",
		`{"type":"A","name":"x","content":"192.0.2.1","zone_id":"z"}`:                                "zone_id: unknown field",
		`{"type":"A","name":"x","content":"192.0.2.1","settings":{"flatten":true}}`:                  "settings.flatten: unknown field",
		`{"type":"A","name":"x","content":"192.0.2.1","comment":"` + strings.Repeat("x", 101) + `"}`: "comment: is longer than 100",
		`{"type":"A","name":"` + strings.Repeat("x", 256) + `","content":"192.0.2.1"}`:               "name: is longer than 255",
	} {
		a.refused(400, 1004, words, "POST", dns, "%s", body)
	}
	a.refused(400, 1004, "type: cannot be changed", "PUT", dns+"/"+www, `{"type":"TXT","name":"www","content":"t"}`)
	a.refused(404, 81044, "", "DELETE", dns+"/00000000000000000000000000000000", "")
	a.ok("PUT", dns+"/"+www, `{"type":"A","name":"www","content":"192.0.2.1"}`) // itself is not a duplicate
	if l := a.list(dns); len(l) != 3 {
		t.Errorf("%d records after refusals, want 3", len(l))
	}

	b := start(t, cfsim.Options{Enterprise: true})
	b.ok("POST", b.zone+"/dns_records", `{"type":"A","name":"x","content":"192.0.2.1","ttl":30,"comment":"%s"}`, strings.Repeat("x", 500))
}

func TestRecordFilters(t *testing.T) {
	a := start(t, cfsim.Options{})
	dns := a.zone + "/dns_records"
	a.ok("POST", dns, `{"type":"A","name":"b","content":"192.0.2.1","comment":"hactl:home/a","proxied":true}`)
	a.ok("POST", dns, `{"type":"A","name":"a","content":"192.0.2.2"}`)
	a.ok("POST", dns, `{"type":"TXT","name":"a","content":"t"}`)
	for query, want := range map[string]int{
		"name=A.example.com": 2, "type=A": 2, "content=t": 1, "proxied=true": 1, "name=a.example.com&type=A": 1,
		"name=a.example.com&proxied=true": 0, "name=a.example.com&proxied=true&match=any": 3, "comment.startswith=hactl:": 1,
		"comment.absent=": 2, "comment.present=": 1, "comment.contains=home": 1, "search=192.0.2": 2, "per_page=2": 2, "per_page=2&page=2": 1,
	} {
		if got := len(a.list(dns + "?" + query)); got != want {
			t.Errorf("%s: %d records, want %d", query, got, want)
		}
	}
	a.equal(a.list(dns + "?order=name")[2], `{"name":"b.example.com"}`)
	a.equal(a.list(dns + "?order=name&direction=desc")[0], `{"name":"b.example.com"}`)
	a.equal(a.list(dns)[2], `{"type":"TXT"}`)
	if l := a.okEnvelope("GET", dns, ""); l.Info.PerPage != 100 || l.Info.TotalPages != 1 {
		t.Errorf("result_info: %+v", l.Info)
	}
	a.refused(400, 1002, "per_page", "GET", dns+"?per_page=5000001", "")
}

func TestBatchIsAtomicAndOrdered(t *testing.T) {
	a := start(t, cfsim.Options{})
	dns := a.zone + "/dns_records"
	one := id(a.ok("POST", dns, `{"type":"A","name":"one","content":"192.0.2.1","comment":"c"}`))
	two := id(a.ok("POST", dns, `{"type":"A","name":"two","content":"192.0.2.2"}`))
	before := string(a.okEnvelope("GET", dns, "").Result)

	a.refused(400, 81053, "posts[1]", "POST", dns+"/batch", `{"deletes":[{"id":"%s"}],"patches":[{"id":"%s","content":"192.0.2.9"}],
		"posts":[{"type":"CNAME","name":"three","content":"two.example.com"},{"type":"A","name":"three","content":"192.0.2.3"}]}`, one, two)
	a.refused(404, 81044, "puts[0]", "POST", dns+"/batch", `{"deletes":[{"id":"%[1]s"}],"puts":[{"id":"%[1]s","type":"A","name":"one","content":"192.0.2.5"}]}`, one)
	a.refused(400, 1004, "deletes[0].name: unknown field", "POST", dns+"/batch", `{"deletes":[{"id":"%s","name":"one"}]}`, one)
	a.refused(400, 1004, "puts[0].type: is required", "POST", dns+"/batch", `{"puts":[{"id":"%s","name":"one","content":"192.0.2.5"}]}`, one)
	if after := string(a.okEnvelope("GET", dns, "").Result); after != before {
		t.Errorf("a refused batch had an effect:\n%s\n%s", before, after)
	}

	// The delete comes first, so that its place is free for the post.
	done := a.ok("POST", dns+"/batch", `{"posts":[{"type":"CNAME","name":"one","content":"two.example.com"}],"deletes":[{"id":"%s"}],
		"patches":[{"id":"%s","ttl":300,"comment":"x"}]}`, one, two)
	for key, n := range map[string]int{"deletes": 1, "patches": 1, "puts": 0, "posts": 1} {
		if got, ok := done[key].([]any); !ok || len(got) != n {
			t.Errorf("%s: %v, want %d", key, done[key], n)
		}
	}
	a.equal(a.ok("GET", dns+"/"+two, ""), `{"ttl":300,"content":"192.0.2.2"}`)
	a.ok("POST", dns+"/batch", `{"patches":[{"id":"%s","comment":null}]}`, two)
	a.equal(a.ok("GET", dns+"/"+two, ""), `{"comment":null}`)
	a.ok("POST", dns, `{"type":"A","name":"three","content":"192.0.2.3"}`) // what failed left nothing behind
}
