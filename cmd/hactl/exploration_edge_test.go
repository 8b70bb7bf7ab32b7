package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// plant makes what is somebody else's.
func (d *day) plant() {
	pools := "/accounts/" + d.sim.Account() + "/load_balancers/pools"
	d.call(http.MethodPost, pools, `{"name": "foreign", "origins": [{"name": "a", "address": "192.0.2.1"}]}`)
	d.call(http.MethodPost, pools, `{"name": "another", "description": "hactl:other/pool/another", "origins": [{"name": "a", "address": "192.0.2.2"}]}`)
	d.foreign = d.others()
	if len(d.foreign) != 2 {
		d.t.Fatalf("planted %v", d.foreign)
	}
}

// others are the pools that are not the stack's, whole.
func (d *day) others() map[string]string {
	found := map[string]string{}
	for _, p := range d.pools() {
		if !p.owned() {
			found[fmt.Sprint(p["name"])] = fmt.Sprint(p)
		}
	}
	return found
}

type dayPool map[string]any

func (p dayPool) owned() bool {
	text, _ := p["description"].(string)
	return strings.Contains(text, "hactl:day/")
}

func (d *day) pools() []dayPool {
	var list struct{ Result []dayPool }
	if err := json.Unmarshal([]byte(d.call(http.MethodGet, "/accounts/"+d.sim.Account()+"/load_balancers/pools", "")), &list); err != nil {
		d.t.Fatal(err)
	}
	return list.Result
}

// meddle changes or deletes one of the stack's objects behind its back.
func (d *day) meddle() {
	for _, p := range d.pools() {
		if p.owned() && d.rng.IntN(2) == 0 {
			d.note("somebody disables pool %s", p["name"])
			d.call(http.MethodPatch, fmt.Sprintf("/accounts/%s/load_balancers/pools/%s", d.sim.Account(), p["id"]), `{"enabled": false}`)
			return
		}
	}
}

func (d *day) untouched() {
	d.t.Helper()
	now := d.others()
	for name, was := range d.foreign {
		if now[name] != was {
			d.fail("%s, which is not the stack's, was touched: %s", name, now[name])
		}
	}
}
