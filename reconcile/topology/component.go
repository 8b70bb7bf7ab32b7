package topology

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/hactl/hactl/schema"
)

// Component is something that can fail. Its kind is one of those below or the
// name of a label, and it prints as "host/lb01", "connector/home@lb01",
// "origin/tokyo/a" (of pool tokyo), "site/tokyo".
type Component struct{ Kind, Name string }

// The kinds of components that are no labels.
const (
	KindHost          = "host"
	KindConnector     = "connector"
	KindAddress       = "address"
	KindTunnel        = "tunnel"
	KindOrigin        = "origin"
	KindPool          = "pool"
	KindVirtualRouter = "virtualRouter"
)

func (c Component) String() string { return c.Kind + "/" + c.Name }

// MarshalText prints the component.
func (c Component) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText parses what String prints.
func (c *Component) UnmarshalText(b []byte) (err error) {
	*c, err = ParseComponent(string(b))
	return err
}

// Compare orders components by how much they tell somebody who looks for what
// to repair, then by name.
func (c Component) Compare(other Component) int {
	return cmp.Or(cmp.Compare(c.rank(), other.rank()), strings.Compare(c.Kind, other.Kind), strings.Compare(c.Name, other.Name))
}

// rank: machines, then what runs on one, then what they share, then what fails
// only by a change.
func (c Component) rank() int {
	switch c.Kind {
	case KindHost:
		return 0
	case KindAddress:
		return 1
	case KindConnector:
		return 2
	case KindTunnel:
		return 4
	case KindVirtualRouter:
		return 5
	case KindOrigin:
		return 6
	case KindPool:
		return 7
	}
	return 3
}

func (c Component) label() bool { return c.rank() == 3 }

// ParseComponent parses "kind/name"; the name may contain slashes.
func ParseComponent(s string) (Component, error) {
	kind, name, ok := strings.Cut(s, "/")
	if !ok || kind == "" || name == "" {
		return Component{}, fmt.Errorf("%q is nothing that can fail: want kind/name, such as host/lb01, connector/home@lb01, pool/tokyo or site/osaka", s)
	}
	return Component{kind, name}, nil
}

// Lookup finds the components of that name, and offers near ones.
func (m *Model) Lookup(s string) (Component, error) {
	c, err := ParseComponent(s)
	if err != nil {
		return c, err
	}
	if _, ok := m.index[c]; ok {
		return c, nil
	}
	var all, same []string
	for _, other := range m.Components() {
		all = append(all, other.String())
		if other.Kind == c.Kind {
			same = append(same, other.String())
		}
	}
	if best := schema.Nearest(s, all); best != "" {
		return Component{}, fmt.Errorf("nothing that requests depend on is called %s; did you mean %s?", s, best)
	}
	if len(same) == 0 {
		same = all
	}
	const most = 8
	if len(same) > most {
		same = append(same[:most:most], "…")
	}
	if len(same) == 0 {
		return Component{}, fmt.Errorf("the specification has nothing that requests depend on, and so no %s", s)
	}
	return Component{}, fmt.Errorf("nothing that requests depend on is called %s; there are: %s", s, strings.Join(same, ", "))
}
