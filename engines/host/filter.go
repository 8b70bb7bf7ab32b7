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

// filterTable is our nftables table, of family inet. It exists while a router
// does not accept for its addresses.
const filterTable = "hactl"

// filter makes the packet filter keep out what is sent to the addresses of
// routers that do not accept (RFC 9568, 6.1: Accept_Mode). The rules stand
// whether we are Active or not: a Backup gets nothing for those addresses
// anyway, and so a takeover need not wait for nftables. What an owner has is
// its own, and neighbour discovery passes, as ARP does.
func (e *Engine) filter() {
	var addrs []netip.Addr
	for i := range e.cfg.Routers {
		r := &e.cfg.Routers[i]
		if !r.NoAccept || r.Priority == vrrp.Owner {
			continue
		}
		for _, a := range slices.Concat(r.Addresses, r.Excluded) {
			addrs = append(addrs, a.Prefix.Addr())
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	addrs = slices.Compact(addrs)
	if e.filtering && slices.Equal(addrs, e.filtered) {
		return
	}
	if err := setFilter(addrs); err != nil {
		if len(addrs) > 0 {
			e.tell(Event{Time: time.Now(), Kind: "problem", Detail: fmt.Sprintf("packet filter: %v: addresses are accepted for", err)})
			e.filtering = false
			return
		}
		// Without nftables there is nothing to remove either.
	}
	e.filtered, e.filtering = addrs, true
}

// setFilter replaces our table as a whole, in one transaction; without
// addresses it removes it.
func setFilter(addrs []netip.Addr) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: filterTable}
	// To delete what is not there fails; to add what is there does not.
	c.AddTable(table)
	c.DelTable(table)
	if len(addrs) == 0 {
		return c.Flush()
	}
	c.AddTable(table)
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
	return c.Flush()
}
