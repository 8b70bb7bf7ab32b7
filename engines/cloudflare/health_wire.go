package cloudflare

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/hactl/hactl/reconcile"
)

// wireClient is a cloudflared that is connected (API: cfd_tunnel/{id}/connections).
type wireClient struct {
	ID      string           `json:"id"`
	Version string           `json:"version"`
	Conns   []wireConnection `json:"conns"`
}

func byClient(conns []wireConnection) []wireClient {
	by := map[string]*wireClient{}
	for _, c := range conns {
		if by[c.ClientID] == nil {
			by[c.ClientID] = &wireClient{ID: c.ClientID}
		}
		by[c.ClientID].Conns = append(by[c.ClientID].Conns, c)
	}
	var clients []wireClient
	for _, id := range slices.Sorted(maps.Keys(by)) {
		clients = append(clients, *by[id])
	}
	return clients
}

// connected are the clients that have a connection now, sorted.
func connected(clients []wireClient) (list []reconcile.ConnectorHealth) {
	for _, c := range clients {
		if h := c.health(); h.Connections > 0 {
			list = append(list, h)
		}
	}
	slices.SortFunc(list, func(a, b reconcile.ConnectorHealth) int { return strings.Compare(a.ID, b.ID) })
	return list
}

func (c wireClient) health() reconcile.ConnectorHealth {
	h := reconcile.ConnectorHealth{ID: c.ID, Version: c.Version}
	for _, conn := range c.Conns {
		if conn.IsPendingReconnect {
			continue
		}
		h.Connections++
		h.Address, h.Version = cmp.Or(h.Address, conn.OriginIP), cmp.Or(h.Version, conn.ClientVersion)
		if at, err := time.Parse(time.RFC3339Nano, conn.OpenedAt); err == nil && (h.Since.IsZero() || at.Before(h.Since)) {
			h.Since = at.UTC()
		}
	}
	return h
}

// wirePoolHealth is what data centers find of a pool (API: pools/{id}/health).
// Origins are maps of one key, the address, in a list.
type wirePoolHealth struct {
	PopHealth map[string]struct {
		Healthy *bool                         `json:"healthy"`
		Origins []map[string]wireOriginHealth `json:"origins"`
	} `json:"pop_health"`
}

type wireOriginHealth struct {
	Healthy       bool   `json:"healthy"`
	FailureReason string `json:"failure_reason"`
	ResponseCode  int    `json:"response_code"`
}

// judge is what most data centers find; not known where none has looked yet.
func (w wirePoolHealth) judge(origins []wireOrigin) (h reconcile.PoolHealth, known bool) {
	names := make(map[string]string, 2*len(origins)) // by key of an answer
	for _, o := range origins {
		names[o.Name] = o.Name
	}
	for _, o := range origins {
		names[addressKey(o.Address)] = o.Name
	}
	// What a hostname resolved to may stand for it: of one origin that is no matter.
	only := ""
	if on := slices.DeleteFunc(slices.Clone(origins), func(o wireOrigin) bool { return !or(o.Enabled, true) }); len(on) == 1 {
		only = on[0].Name
	}
	votes, looked := 0, 0
	found := map[string][]wireOriginHealth{}
	for _, center := range slices.Sorted(maps.Keys(w.PopHealth)) {
		pop := w.PopHealth[center]
		if pop.Healthy != nil {
			looked++
			if *pop.Healthy {
				votes++
			}
		}
		for _, entry := range pop.Origins {
			for key, o := range entry {
				name, ours := names[addressKey(key)]
				if !ours {
					name, ours = names[key]
				}
				if !ours && only != "" {
					name, ours = only, true
				}
				if ours {
					found[name] = append(found[name], o)
				}
			}
		}
	}
	if looked == 0 && len(found) == 0 {
		return h, false
	}
	h.Origins = make(map[string]reconcile.OriginHealth, len(found))
	sick := false
	for name, all := range found {
		h.Origins[name] = majority(all)
		sick = sick || !h.Origins[name].Healthy
	}
	h.Healthy = 2*votes > looked || looked == 0 && !sick
	return h, true
}

// majority is healthy if more than half are, else it has the reason that is
// given most often.
func majority(found []wireOriginHealth) reconcile.OriginHealth {
	healthy, times := 0, map[reconcile.OriginHealth]int{}
	for _, o := range found {
		if o.Healthy {
			healthy++
			continue
		}
		times[reconcile.OriginHealth{Reason: o.FailureReason, Code: o.ResponseCode}]++
	}
	if 2*healthy > len(found) {
		return reconcile.OriginHealth{Healthy: true}
	}
	return slices.MaxFunc(slices.SortedFunc(maps.Keys(times), func(a, b reconcile.OriginHealth) int {
		return cmp.Or(strings.Compare(a.Reason, b.Reason), cmp.Compare(a.Code, b.Code))
	}), func(a, b reconcile.OriginHealth) int { return cmp.Compare(times[a], times[b]) })
}

// addressKey is one form for an address or hostname.
func addressKey(s string) string {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().String()
	}
	return strings.ToLower(strings.TrimSuffix(s, "."))
}
