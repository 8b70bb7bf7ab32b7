package host

import (
	"net/netip"
	"slices"
	"time"

	"github.com/hactl/hactl/engines/vrrp"
)

// lingerLimit bounds how long a router that was relieved still answers.
const lingerLimit = 100 * time.Millisecond

// relieved reports whether addresses go because another router has taken them.
// Its advertisement says so, but keepalived advertises first, adds the address
// then and announces it last: whoever lets go on the advertisement leaves the
// clients alone for as long as that takes. So we go on answering until its
// announcement is here, which also tells the clients.
func relieved(c vrrp.Cause) bool {
	return c == vrrp.CauseHandedOver || c == vrrp.CauseHigherPriority || c == vrrp.CauseTie
}

// linger keeps addresses until they are announced by another, or the limit.
func (e *Engine) linger(r *router, addrs []netip.Addr) {
	r.lingering = append(r.lingering[:0], addrs...)
	r.lingerAt = e.now + lingerLimit
	e.lingerAt = min(e.lingerAt, r.lingerAt)
}

// lingerClaimed lets go of an address that another has announced.
func (e *Engine) lingerClaimed(r *router, addr netip.Addr) {
	i := slices.Index(r.lingering, addr)
	if i < 0 {
		return
	}
	r.lingering = slices.Delete(r.lingering, i, i+1)
	e.removeAddresses(r, []netip.Addr{addr})
	e.settle(r)
}

// lingerOver lets go of what nobody has announced in time.
func (e *Engine) lingerOver() {
	e.lingerAt = vrrp.Never
	for _, r := range e.routers {
		switch {
		case len(r.lingering) == 0:
		case r.lingerAt <= e.now:
			addrs := r.lingering
			r.lingering = nil
			e.removeAddresses(r, addrs)
			e.settle(r)
		default:
			e.lingerAt = min(e.lingerAt, r.lingerAt)
		}
	}
}
