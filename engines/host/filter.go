package host

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/hactl/hactl/engines/vrrp"
)

// filterTable is our nftables table, of family inet. It exists while there is
// something to keep out or in.
const filterTable = "hactl"

// rules are what the packet filter does. They stand whether a router is Active
// or not, so that a takeover need not wait for nftables.
type rules struct {
	// closed are the addresses of routers that do not accept (RFC 9568, 6.1:
	// Accept_Mode): what is sent to them is kept out. A Backup gets nothing for
	// them anyway. What an owner has is its own, and neighbour discovery passes, as
	// ARP does.
	closed []netip.Addr
	// virtual says that there are macvlans for IPv6, and groups are the
	// solicited-node multicast addresses of what an Active router has on them.
	// Whatever else the kernel reports there to multicast listener discovery, what
	// it leaves and a Backup's own groups, it would report from the virtual MAC, and
	// a switch would send what is for that to a Backup until the Active router
	// advertises again.
	virtual bool
	groups  []netip.Addr
}

func (r *rules) empty() bool { return len(r.closed) == 0 && !r.virtual }

func (r *rules) equal(o *rules) bool {
	return slices.Equal(r.closed, o.closed) && r.virtual == o.virtual && slices.Equal(r.groups, o.groups)
}

// rules are those of the configuration, and of what there still is of the
// former one.
func (e *Engine) rules() rules {
	var want rules
	seen := func(r *Router) {
		if !r.UseVMAC || !r.ipv6() {
			return
		}
		want.virtual = true
		for _, a := range slices.Concat(r.Addresses, r.Excluded) {
			if addr := a.Prefix.Addr(); addr.Is6() {
				want.groups = append(want.groups, solicitedNode(addr))
			}
		}
	}
	for i := range e.cfg.Routers {
		r := &e.cfg.Routers[i]
		seen(r)
		if !r.NoAccept || r.Priority == vrrp.Owner {
			continue
		}
		for _, a := range slices.Concat(r.Addresses, r.Excluded) {
			want.closed = append(want.closed, a.Prefix.Addr())
		}
	}
	for _, r := range e.routers {
		seen(&r.cfg)
	}
	for _, list := range []*[]netip.Addr{&want.closed, &want.groups} {
		slices.SortFunc(*list, netip.Addr.Compare)
		*list = slices.Compact(*list)
	}
	return want
}

// solicitedNode is the multicast address at which an IPv6 address is asked for
// (RFC 4291, 2.7.1).
func solicitedNode(a netip.Addr) netip.Addr {
	b, last := [16]byte{0: 0xff, 1: 0x02, 11: 0x01, 12: 0xff}, a.As16()
	copy(b[13:], last[13:])
	return netip.AddrFrom16(b)
}

// filter makes the packet filter do what it has to.
func (e *Engine) filter() {
	want := e.rules()
	if e.filtering && want.equal(&e.filtered) {
		return
	}
	if err := setFilter(want); err != nil {
		if !want.empty() {
			detail := fmt.Sprintf("packet filter: %v", err)
			if len(want.closed) > 0 {
				detail += ": addresses are accepted for"
			}
			if want.virtual {
				detail += ": a switch may look for a virtual MAC at a Backup"
			}
			e.tell(Event{Time: time.Now(), Kind: "problem", Detail: detail})
			e.filtering = false
			return
		}
		// Without nftables there is nothing to remove either.
	}
	e.filtered, e.filtering = want, true
}

// setFilter replaces our table as a whole, in one transaction; without rules it
// removes it.
func setFilter(want rules) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: filterTable}
	// To delete what is not there fails; to add what is there does not.
	c.AddTable(table)
	c.DelTable(table)
	if !want.empty() {
		c.AddTable(table)
	}
	if len(want.closed) > 0 {
		if err := closeAddresses(c, table, want.closed); err != nil {
			return err
		}
	}
	if want.virtual {
		if err := silenceVMACs(c, table, want.groups); err != nil {
			return err
		}
	}
	return c.Flush()
}

// silenceVMACs lets nothing of multicast listener discovery out of macvlans for
// IPv6 but what begins with a report of a group of ours, which is there while we
// are Active: the kernel names first what it has joined last.
func silenceVMACs(c *nftables.Conn, table *nftables.Table, groups []netip.Addr) error {
	chain := c.AddChain(&nftables.Chain{
		Table: table, Name: "virtual-mac", Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookOutput,
		Priority: nftables.ChainPriorityRef(-10),
	})
	set := &nftables.Set{Table: table, Name: "groups", KeyType: nftables.TypeIP6Addr}
	elements := make([]nftables.SetElement, 0, len(groups))
	for _, g := range groups {
		elements = append(elements, nftables.SetElement{Key: g.AsSlice()})
	}
	if err := c.AddSet(set, elements); err != nil {
		return err
	}
	rule := func(kind byte, verdict expr.VerdictKind, more ...expr.Any) {
		exprs := []expr.Any{
			&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte(vmacPrefix6)}, // not the whole name
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_ICMPV6}},
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{kind}},
		}
		exprs = append(exprs, more...)
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(exprs, &expr.Counter{}, &expr.Verdict{Kind: verdict})})
	}
	group := func(offset uint32) []expr.Any {
		return []expr.Any{
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 16},
			&expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID},
		}
	}
	const reportV1, doneV1, reportV2 = 131, 132, 143 // RFC 2710, 3; RFC 3810, 5.2
	for _, record := range []byte{2, 4} {            // MODE_IS_EXCLUDE and CHANGE_TO_EXCLUDE_MODE: it is a member
		rule(reportV2, expr.VerdictAccept, append([]expr.Any{
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 8, Len: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{record}},
		}, group(12)...)...)
	}
	rule(reportV1, expr.VerdictAccept, group(8)...)
	for _, kind := range []byte{reportV1, doneV1, reportV2} {
		rule(kind, expr.VerdictDrop)
	}
	return nil
}

// closeAddresses keeps out what is sent to addresses.
func closeAddresses(c *nftables.Conn, table *nftables.Table, addrs []netip.Addr) error {
	chain := c.AddChain(&nftables.Chain{
		Table: table, Name: "no-accept", Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput,
		Priority: nftables.ChainPriorityRef(-10),
	})
	// What the host sends to itself is not received.
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: append([]byte("lo"), make([]byte, unix.IFNAMSIZ-2)...)},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}})
	// Neighbour solicitations and advertisements.
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_ICMPV6}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
		&expr.Cmp{Op: expr.CmpOpGte, Register: 1, Data: []byte{135}},
		&expr.Cmp{Op: expr.CmpOpLte, Register: 1, Data: []byte{136}},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}})
	for _, family := range []struct {
		v6     bool
		name   string
		proto  byte
		kind   nftables.SetDatatype
		offset uint32
		size   uint32
	}{
		{false, "ipv4", unix.NFPROTO_IPV4, nftables.TypeIPAddr, 16, 4},
		{true, "ipv6", unix.NFPROTO_IPV6, nftables.TypeIP6Addr, 24, 16},
	} {
		var elements []nftables.SetElement
		for _, a := range addrs {
			if a.Is6() == family.v6 {
				elements = append(elements, nftables.SetElement{Key: a.AsSlice()})
			}
		}
		if len(elements) == 0 {
			continue
		}
		set := &nftables.Set{Table: table, Name: family.name, KeyType: family.kind}
		if err := c.AddSet(set, elements); err != nil {
			return err
		}
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
			&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family.proto}},
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: family.offset, Len: family.size},
			&expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID},
			&expr.Counter{},
			&expr.Verdict{Kind: expr.VerdictDrop},
		}})
	}
	return nil
}
