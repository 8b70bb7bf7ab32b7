package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// staleAddress is an address that a former process left behind.
type staleAddress struct {
	Interface string       `json:"interface"`
	Prefix    netip.Prefix `json:"prefix"`
	index     int
}

const addressesFile = "addresses.json"

// findStale lists the addresses that carry our mark or stand in the list that
// a former process left on disk, which is all there is before kernel 5.18.
func (e *Engine) findStale() ([]staleAddress, error) {
	var listed []staleAddress
	if e.dir != "" {
		b, err := os.ReadFile(filepath.Join(e.dir, addressesFile))
		if err == nil {
			err = json.Unmarshal(b, &listed)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			e.tell(Event{Time: time.Now(), Kind: "problem", Detail: fmt.Sprintf("read list of addresses: %v", err)})
		}
	}
	names := map[int]string{}
	err := e.rtnl.dump(unix.RTM_GETLINK, func(_ uint16, body []byte) {
		if k, ok := parseLink(body); ok {
			names[k.index] = k.name
			if vmacPattern.MatchString(k.name) {
				e.staleLinks = append(e.staleLinks, k.name)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	var stale []staleAddress
	err = e.rtnl.dump(unix.RTM_GETADDR, func(_ uint16, body []byte) {
		a, ok := parseAddress(body)
		if !ok {
			return
		}
		s := staleAddress{Interface: names[a.index], Prefix: a.prefix, index: a.index}
		if a.proto == addressProto || slices.ContainsFunc(listed, func(o staleAddress) bool { return o.Interface == s.Interface && o.Prefix == s.Prefix }) {
			stale = append(stale, s)
		}
	})
	return stale, err
}

// listAddresses writes down which addresses we may add from now on, before the
// first of them is.
func (e *Engine) listAddresses() {
	if e.dir == "" {
		return
	}
	list := []staleAddress{}
	for i := range e.cfg.Routers {
		c := &e.cfg.Routers[i]
		name := c.Interface
		if c.UseVMAC {
			name = vmacName(c)
		}
		for _, a := range slices.Concat(c.Addresses, c.Excluded) {
			list = append(list, staleAddress{Interface: name, Prefix: a.Prefix})
		}
	}
	for _, r := range e.routers {
		for _, a := range r.addresses {
			list = append(list, staleAddress{Interface: r.home.name, Prefix: a.Prefix})
		}
	}
	b, err := json.Marshal(list)
	if err == nil {
		err = writeFile(filepath.Join(e.dir, addressesFile), b)
	}
	if err != nil {
		e.tell(Event{Time: time.Now(), Kind: "problem", Detail: fmt.Sprintf("write list of addresses: %v", err)})
	}
}

// dropStale removes what a former process left and nobody wants now. What a
// router wants is its machine's business: Startup removes it, or resumes.
func (e *Engine) dropStale() {
	for _, s := range e.stale {
		wanted := slices.ContainsFunc(e.routers, func(r *router) bool {
			a, found := r.addresses[s.Prefix.Addr()]
			return found && r.home.name == s.Interface && a.Prefix == s.Prefix
		})
		if wanted {
			continue
		}
		err := e.rtnl.removeAddress(s.index, s.Prefix)
		detail := fmt.Sprintf("%v on %s was left by a former process: removed", s.Prefix, s.Interface)
		if err != nil {
			detail = fmt.Sprintf("remove %v from %s: %v", s.Prefix, s.Interface, err)
		}
		e.tell(Event{Time: time.Now(), Kind: "problem", Detail: detail})
	}
	e.stale = nil
	for _, name := range e.staleLinks {
		if e.links[name] == nil {
			e.removeVMAC(name)
		}
	}
	e.staleLinks = nil
}

// writeFile replaces a file as a whole.
func writeFile(name string, b []byte) error {
	if err := os.WriteFile(name+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}
