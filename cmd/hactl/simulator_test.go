package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
)

// call asks Cloudflare as somebody else would.
func (v *services) call(method, path string, body any) map[string]any {
	v.s.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		v.s.t.Fatal(err)
	}
	r, err := http.NewRequest(method, cfsim.Prefix+path, bytes.NewReader(b))
	if err != nil {
		v.s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+simToken)
	r.Header.Set("Content-Type", "application/json")
	w := &answerBuffer{header: http.Header{}}
	v.sim.ServeHTTP(w, r)
	var envelope map[string]any
	if err := json.Unmarshal(w.body.Bytes(), &envelope); err != nil {
		v.s.t.Fatalf("%s %s: %v: %s", method, path, err, w.body.Bytes())
	}
	return envelope
}

func (v *services) list(path string) (objects []map[string]any) {
	v.s.t.Helper()
	list, _ := v.call(http.MethodGet, path, nil)["result"].([]any)
	for _, o := range list {
		if m, ok := o.(map[string]any); ok {
			objects = append(objects, m)
		}
	}
	return objects
}

func (v *services) zone() string { return fmt.Sprint(v.list("/zones")[0]["id"]) }

// pool is a pool as Cloudflare has it.
func (v *services) pool(name string) map[string]any {
	for _, p := range v.list("/accounts/" + v.sim.Account() + "/load_balancers/pools") {
		if p["name"] == name {
			return p
		}
	}
	return nil
}
