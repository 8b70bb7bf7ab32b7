package host

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/hactl/hactl/schema"
)

// Secret finds the value of a secret.
type Secret func(schema.SecretRef) (string, error)

// NewConfig is what a host has to run according to its objects in a
// specification, as schema.Spec.HostObjects returns them. It fails for a
// secret that cannot be found, and for what no engine would take.
func NewConfig(host, revision string, objects []schema.Object, secret Secret) (Config, error) {
	c := Config{Host: host, Revision: revision}
	var errs []error
	for _, o := range objects {
		if err := c.put(o, secret); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", o.ID(), err))
		}
	}
	return c, cmp.Or(errors.Join(errs...), c.Validate())
}

// put adds an object, or replaces the one of the same name.
func (c *Config) put(o schema.Object, secret Secret) error {
	switch o := o.(type) {
	case schema.HostCheck:
		if c.Checks == nil {
			c.Checks = map[string]schema.HealthCheck{}
		}
		c.Checks[o.Name] = o.HealthCheck
	case schema.HostHook:
		if c.Hooks == nil {
			c.Hooks = map[string]schema.Hook{}
		}
		c.Hooks[o.Name] = o.Hook
	case schema.HostRouter:
		r, err := newRouter(o, secret)
		if err != nil {
			return err
		}
		c.remove(o.ID())
		c.Routers = append(c.Routers, r)
		slices.SortFunc(c.Routers, func(a, b Router) int { return cmp.Compare(a.Name, b.Name) })
		c.join(o.Name, o.SyncGroup)
	default:
		return errors.New("this is nothing that a host runs")
	}
	return nil
}

// remove takes an object out; one that is not there is fine.
func (c *Config) remove(id schema.ID) {
	name, _ := schema.HostOf(id)
	switch id.Kind {
	case schema.KindCheck:
		delete(c.Checks, name)
	case schema.KindHook:
		delete(c.Hooks, name)
	case schema.KindVirtualRouter:
		c.Routers = slices.DeleteFunc(c.Routers, func(r Router) bool { return r.Name == name })
		c.join(name, "")
	}
}

// join makes a router a member of one sync group, or of none.
func (c *Config) join(router, group string) {
	for i := range c.SyncGroups {
		g := &c.SyncGroups[i]
		g.Members = slices.DeleteFunc(g.Members, func(m string) bool { return m == router })
	}
	if group != "" {
		i := slices.IndexFunc(c.SyncGroups, func(g SyncGroup) bool { return g.Name == group })
		if i < 0 {
			i = len(c.SyncGroups)
			c.SyncGroups = append(c.SyncGroups, SyncGroup{Name: group})
		}
		c.SyncGroups[i].Members = append(c.SyncGroups[i].Members, router)
		slices.Sort(c.SyncGroups[i].Members)
	}
	c.SyncGroups = slices.DeleteFunc(c.SyncGroups, func(g SyncGroup) bool { return len(g.Members) == 0 })
	slices.SortFunc(c.SyncGroups, func(a, b SyncGroup) int { return cmp.Compare(a.Name, b.Name) })
}

func clone[V any](m map[string]V) map[string]V {
	out := maps.Clone(m)
	if out == nil {
		out = map[string]V{}
	}
	return out
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func newRouter(o schema.HostRouter, secret Secret) (Router, error) {
	r := Router{
		Name: o.Name, Interface: o.Interface,
		Parameters:   Parameters{Version: uint8(o.Version), VRID: uint8(o.VRID), Interval: time.Duration(o.Interval)},
		Priority:     uint8(o.Priority),
		NoPreempt:    !o.Preempt,
		PreemptDelay: time.Duration(o.PreemptDelay), StartupDelay: time.Duration(o.StartupDelay), ReleaseLimit: time.Duration(o.ReleaseLimit),
		Announcements: Announcements{
			Repeat: uint8(o.Announcements.Repeat), Delay: time.Duration(o.Announcements.Delay),
			Refresh: time.Duration(o.Announcements.Refresh), RefreshRepeat: uint8(o.Announcements.RefreshRepeat),
		},
		ChecksumMessage: o.Checksum == "rfc9568", MinTTL: uint8(o.MinTTL), LooseAddresses: !o.Strict, GlobalFirst: !o.Strict,
		UseVMAC: o.UseVMAC, Owned: o.Owned, Maintenance: o.Maintenance, NoAccept: !o.Accept, Checks: o.Checks, Hooks: o.Hooks,
		ActivationDelay: time.Duration(o.ActivationDelay),
	}
	var errs []error
	parse := func(written string) (a netip.Addr) {
		if written != "" {
			var err error
			a, err = netip.ParseAddr(written)
			errs = append(errs, err)
		}
		return a
	}
	r.Source = parse(o.Source)
	for _, p := range o.Peers {
		r.Peers = append(r.Peers, parse(p))
	}
	for _, list := range []struct {
		from []schema.VirtualAddress
		to   *[]Address
	}{{o.Addresses, &r.Addresses}, {o.ExcludedAddresses, &r.Excluded}} {
		for _, a := range list.from {
			p, err := netip.ParsePrefix(a.Address)
			errs = append(errs, err)
			*list.to = append(*list.to, Address{Prefix: p, Label: a.Label, Scope: a.Scope})
		}
	}
	for _, rt := range o.Routes {
		p, err := netip.ParsePrefix(rt.CIDR)
		errs = append(errs, err)
		r.Routes = append(r.Routes, Route{Prefix: p, Via: parse(rt.Via), Source: parse(rt.Source), Interface: rt.Interface, Table: rt.Table, Metric: rt.Metric})
	}
	if o.Password != nil {
		password, err := secret(*o.Password)
		errs = append(errs, err)
		r.Password = password
	}
	return r, errors.Join(errs...)
}

// Objects is the inverse of NewConfig: what an engine runs, in a specification's
// terms. Where a change of parameters is under way it is what they become.
// A password is shown as the secret that wanted has for it if it is that one,
// or if that cannot be found out here, or from a Redacted configuration.
func (c *Config) Objects(wanted map[schema.ID]schema.Object, secret Secret) []schema.Object {
	settled := c.Wanted()
	var objects []schema.Object
	for name, h := range c.Checks {
		objects = append(objects, schema.HostCheck{Host: c.Host, Name: name, HealthCheck: h})
	}
	for name, h := range c.Hooks {
		objects = append(objects, schema.HostHook{Host: c.Host, Name: name, Hook: h})
	}
	for i := range settled.Routers {
		o := settled.Routers[i].object(c.Host)
		for _, g := range c.SyncGroups {
			if slices.Contains(g.Members, o.Name) {
				o.SyncGroup = g.Name
			}
		}
		if password := settled.Routers[i].Password; password != "" {
			o.Password = &schema.SecretRef{Credential: "(another password)"}
			if w, ok := wanted[o.ID()].(schema.HostRouter); ok && w.Password != nil {
				if value, err := secret(*w.Password); err != nil || value == password || password == hidden {
					o.Password = w.Password
				}
			}
		}
		objects = append(objects, o)
	}
	return objects
}

func (r *Router) object(host string) schema.HostRouter {
	checksum := "keepalived"
	if r.ChecksumMessage {
		checksum = "rfc9568"
	}
	o := schema.HostRouter{
		Host: host, Name: r.Name, Interface: r.Interface, VRID: int(r.VRID), Version: int(r.Version), Priority: int(r.Priority),
		Interval: schema.Duration(r.Interval), MinTTL: int(r.MinTTL), Preempt: !r.NoPreempt,
		PreemptDelay: schema.Duration(r.PreemptDelay), StartupDelay: schema.Duration(r.StartupDelay), ReleaseLimit: schema.Duration(r.ReleaseLimit),
		Accept: !r.NoAccept, Strict: !r.LooseAddresses, Checksum: checksum, UseVMAC: r.UseVMAC, Owned: r.Owned,
		Announcements: schema.Announcements{
			Repeat: int(r.Announcements.Repeat), Delay: schema.Duration(r.Announcements.Delay),
			Refresh: schema.Duration(r.Announcements.Refresh), RefreshRepeat: int(r.Announcements.RefreshRepeat),
		},
		Checks: r.Checks, Hooks: r.Hooks, Maintenance: r.Maintenance, ActivationDelay: schema.Duration(r.ActivationDelay),
	}
	written := func(a netip.Addr) string {
		if !a.IsValid() {
			return ""
		}
		return a.String()
	}
	o.Source = written(r.Source)
	for _, p := range r.Peers {
		o.Peers = append(o.Peers, p.String())
	}
	for _, list := range []struct {
		from []Address
		to   *[]schema.VirtualAddress
	}{{r.Addresses, &o.Addresses}, {r.Excluded, &o.ExcludedAddresses}} {
		for _, a := range list.from {
			*list.to = append(*list.to, schema.VirtualAddress{Address: a.Prefix.String(), Label: a.Label, Scope: a.Scope})
		}
	}
	for _, rt := range r.Routes {
		o.Routes = append(o.Routes, schema.VirtualRoute{
			CIDR: rt.Prefix.String(), Via: written(rt.Via), Source: written(rt.Source), Interface: rt.Interface, Table: rt.Table, Metric: rt.Metric,
		})
	}
	return o
}
