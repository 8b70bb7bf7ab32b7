package schema

func (c *checker) monitors() {
	for _, name := range sortedKeys(c.spec.Monitors) {
		m, path := c.spec.Monitors[name], Join("monitors", name)
		c.interval(path, m)
		switch m.Type {
		case "tcp":
			if m.Port == 0 {
				c.errorf(path+".port", "required for a tcp monitor")
			}
			if m.Method != "" && m.Method != "connection_established" {
				c.errorf(path+".method", "%q: a tcp monitor's is \"connection_established\"", m.Method)
			}
		case "http", "https":
			if m.Method != "" && m.Method != "GET" && m.Method != "HEAD" {
				c.errorf(path+".method", "%q: allowed are GET and HEAD", m.Method)
			}
		}
		if !m.HTTP() {
			c.onlyHTTP(path, m)
		}
	}
}

// onlyHTTP reports fields that mean nothing outside HTTP.
func (c *checker) onlyHTTP(path string, m Monitor) {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"path", m.Path != ""}, {"expectedCodes", m.ExpectedCodes != ""}, {"expectedBody", m.ExpectedBody != ""},
		{"header", len(m.Header) > 0}, {"followRedirects", m.FollowRedirects}, {"allowInsecure", m.AllowInsecure},
	} {
		if f.set {
			c.errorf(path+"."+f.name, "only http and https monitors have it; this one is %s", m.Type)
		}
	}
}

// interval checks that one round of attempts ends before the next begins
// (API: "timeout * (retries + 1) must fit in interval").
func (c *checker) interval(path string, m Monitor) {
	least := 15
	if c.spec.Plan == "enterprise" {
		least = 10
	}
	n, whole := m.Interval.Whole()
	switch {
	case !whole || n > 3600:
		c.seconds(path+".interval", m.Interval, least, 3600)
	case n < 10:
		c.errorf(path+".interval", "%s is too short: from %s (Enterprise: 10s) to 1h", m.Interval, Seconds(15))
	case n < least:
		c.warnf(path+".interval", "%s is too short without Enterprise: at least 15s; set plan: \"enterprise\" if the account allows it", m.Interval)
	}
	c.seconds(path+".timeout", m.Timeout, 1, 3600)
	if total := m.Timeout * Duration(m.Retries+1); total > m.Interval {
		c.errorf(path+".timeout", "timeout times (retries + 1) is %s and must fit in the interval of %s: lower timeout or retries, or raise interval", total, m.Interval)
	}
}
