package schema

import "net/url"

// Leader says which host applies edge changes; one of its fields is set.
type Leader struct {
	VirtualRouter string   `json:"virtualRouter,omitempty"`
	Etcd          []string `json:"etcd,omitempty"` // client URLs
	Host          string   `json:"host,omitempty"`
}

func (c *checker) leader() {
	l := c.spec.Leader
	if l == nil {
		return
	}
	set := 0
	for _, is := range []bool{l.VirtualRouter != "", len(l.Etcd) > 0, l.Host != ""} {
		if is {
			set++
		}
	}
	if set != 1 {
		c.errorf("leader", "want exactly one of virtualRouter, etcd and host")
	}
	if v := l.VirtualRouter; v != "" {
		reference(c, "leader.virtualRouter", "virtualRouters", v, c.spec.VirtualRouters)
	}
	if l.Host != "" {
		reference(c, "leader.host", "hosts", l.Host, c.spec.Hosts)
	}
	for i, endpoint := range l.Etcd {
		c.endpoint("leader.etcd["+itoa(i)+"]", endpoint)
	}
}

// endpoint checks a URL without a path or credentials.
func (c *checker) endpoint(path, written string) {
	u, err := url.Parse(written)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		c.errorf(path, "%q: want a URL such as \"https://192.0.2.10:2379\"", written)
	case u.User != nil:
		c.errorf(path, "a URL in a specification holds no credentials")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		c.errorf(path, "%q: want no path behind the port", written)
	}
}
