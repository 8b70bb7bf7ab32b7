package cloudflare

import (
	"strings"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

// tunnelDomain is where a tunnel's public name lies: <uuid>.cfargotunnel.com.
const tunnelDomain = ".cfargotunnel.com"

// names translates ids into the names that specifications use. What has no
// name is "id:" and its id.
type names struct {
	byHandle map[reconcile.Handle]string
	// defaultNetwork is the account's; "" stands for it in a specification
	// unless it has a name there.
	defaultNetwork reconcile.Handle
}

// translation turns one wire object into its schema form, noting what it
// refers to.
type translation struct {
	names  *names
	refers []reconcile.Handle
}

func (t *translation) name(handle string) string {
	if handle == "" {
		return ""
	}
	h := reconcile.Handle(handle)
	t.refers = append(t.refers, h)
	if name, ok := t.names.byHandle[h]; ok {
		return name
	}
	return schema.ForeignRef(handle)
}

// network is name for a virtual network, where the default one needs none.
func (t *translation) network(handle string) string {
	h := reconcile.Handle(handle)
	if _, named := t.names.byHandle[h]; !named && h == t.names.defaultNetwork {
		return ""
	}
	return t.name(handle)
}

func (t *translation) list(handles []string) []string {
	if len(handles) == 0 {
		return nil
	}
	names := make([]string, 0, len(handles))
	for _, h := range handles {
		names = append(names, t.name(h))
	}
	return names
}

func (t *translation) lists(m map[string][]string) map[string][]string {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string][]string, len(m))
	for k, handles := range m {
		out[k] = t.list(handles)
	}
	return out
}

func (t *translation) weights(m map[string]float64) map[string]float64 {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]float64, len(m))
	for h, w := range m {
		out[t.name(h)] = w
	}
	return out
}

// tunnel takes "<uuid>.cfargotunnel.com" apart; ok is false for other names.
func (t *translation) tunnel(address string) (name string, ok bool) {
	handle, ok := tunnelHandle(address)
	if !ok {
		return "", false
	}
	return t.name(handle), true
}

func tunnelHandle(address string) (handle string, ok bool) {
	return strings.CutSuffix(strings.ToLower(strings.TrimSuffix(address, ".")), tunnelDomain)
}

// handles is the way back, for one change.
type handles struct {
	resolve func(schema.ID) (reconcile.Handle, bool)
	missing []schema.ID
}

func (h *handles) of(kind schema.Kind, name string) string {
	if name == "" {
		return ""
	}
	if foreign, ok := schema.ForeignHandle(name); ok {
		return foreign
	}
	id := schema.ID{Kind: kind, Name: name}
	handle, ok := h.resolve(id)
	if !ok {
		h.missing = append(h.missing, id)
	}
	return string(handle)
}

func (h *handles) pools(names []string) []string {
	if names == nil {
		return nil
	}
	out := make([]string, 0, len(names))
	for _, n := range names {
		out = append(out, h.of(schema.KindPool, n))
	}
	return out
}

func (h *handles) poolLists(m map[string][]string) map[string][]string {
	if m == nil {
		return nil
	}
	out := make(map[string][]string, len(m))
	for k, names := range m {
		out[k] = h.pools(names)
	}
	return out
}

func (h *handles) poolWeights(m map[string]float64) map[string]float64 {
	if m == nil {
		return nil
	}
	out := make(map[string]float64, len(m))
	for n, w := range m {
		out[h.of(schema.KindPool, n)] = w
	}
	return out
}
