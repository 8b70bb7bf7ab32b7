package schema

import (
	"fmt"
	"net/url"
	"slices"
	"time"
)

func (c *checker) notifications() {
	for _, name := range sortedKeys(c.spec.Notifications) {
		n, path := c.spec.Notifications[name], Join("notifications", name)
		switch {
		case n.Type == NotifySlack && n.URL != "":
			c.errorf(path+".url", "whoever knows the URL can post as you: keep it out of the specification and use urlFrom")
		case n.Type == NotifySlack && n.URLFrom == nil:
			c.errorf(path, "urlFrom is required for type %q: the URL is a secret", n.Type)
		case (n.URL == "") == (n.URLFrom == nil):
			c.errorf(path, "exactly one of url and urlFrom says where to send")
		case n.URL != "":
			c.webhookURL(path+".url", n.URL)
		}
		if n.URLFrom != nil {
			c.secret(path+".urlFrom", *n.URLFrom)
		}
		if n.Secret != nil {
			c.secret(path+".secret", *n.Secret)
			if n.Type == NotifySlack {
				c.errorf(path+".secret", "Slack checks no signature: that is for %q", NotifyWebhook)
			}
		}
		c.span(path+".window", n.Window, Seconds(1), Duration(24*time.Hour))
		uses(c, path+".hosts", "hosts", n.Hosts, c.spec.Hosts)
		for i, event := range n.On {
			if slices.Contains(n.On[:i], event) {
				c.errorf(fmt.Sprintf("%s.on[%d]", path, i), "%q stands twice", event)
			}
		}
	}
}

// webhookURL does not repeat the URL: what is wrong with it may be a secret.
func (c *checker) webhookURL(path, raw string) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "":
		c.errorf(path, "want a URL such as \"https://hooks.example.com/hactl\"")
	case u.User != nil:
		c.errorf(path, "a URL with a user name or password in it is a secret: use urlFrom")
	}
}
