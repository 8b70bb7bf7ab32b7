package cfsim_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
)

// fill makes 5000 pools of three origins and 100 load balancers.
func fill(b *testing.B) *cfsim.Server {
	s := cfsim.New(cfsim.Options{Enterprise: true, Zones: []string{"example.com"}})
	do := func(path, body string) string {
		w := raw(s, "POST", cfsim.Prefix+path, "Bearer t", body)
		if w.Code != http.StatusOK {
			b.Fatal(w.Body)
		}
		_, rest, _ := strings.Cut(w.Body.String(), `"id":"`)
		return rest[:32]
	}
	var last string
	for i := range 5000 {
		last = do("/accounts/"+s.Account()+"/load_balancers/pools", fmt.Sprintf(`{"name":"p%d","origins":[{"name":"a","address":"192.0.2.1"},
			{"name":"b","address":"192.0.2.2"},{"name":"c","address":"192.0.2.3"}]}`, i))
	}
	for i := range 100 {
		do("/zones/"+s.ZoneID("example.com")+"/load_balancers", fmt.Sprintf(`{"name":"l%d.example.com","default_pools":["%s"],"fallback_pool":"%s"}`, i, last, last))
	}
	return s
}

func BenchmarkCreate5000Pools(b *testing.B) {
	for b.Loop() {
		fill(b)
	}
}

func BenchmarkList5000Pools(b *testing.B) {
	s := fill(b)
	for b.Loop() {
		r := httptest.NewRequest("GET", "http://host"+cfsim.Prefix+"/accounts/"+s.Account()+"/load_balancers/pools", nil)
		r.Header.Set("Authorization", "Bearer t")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		b.SetBytes(int64(w.Body.Len()))
	}
}
