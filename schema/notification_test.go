package schema_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/hactl/hactl/schema"
)

func TestNotificationsComeBackFromTheirJSON(t *testing.T) {
	s := loaded(t, `
hosts: lb01: address: "192.0.2.1"
notifications: {
	chat: {type: "slack", urlFrom: credential: "slack"}
	pager: {type: "webhook", url: "https://hooks.example.com", secret: env: "S", on: ["leader"], hosts: ["lb01"], window: "1m", most: 1}
}`)
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back schema.Spec
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back.Notifications, s.Notifications) || len(back.Notifications) != 2 {
		t.Errorf("got %+v, want %+v", back.Notifications, s.Notifications)
	}
	if n := s.Notifications["chat"]; n.Window.String() != "5m" || n.Most != 3 {
		t.Errorf("%+v", n)
	}
	if len(s.Objects()) != 0 {
		t.Errorf("they are part of a plan: %v", s.Objects())
	}
}

func TestNotificationsAreAboutWhatTheySay(t *testing.T) {
	for _, c := range []struct {
		n           schema.Notification
		event, host string
		want        bool
	}{
		{schema.Notification{}, schema.OnTransition, "lb01", true},
		{schema.Notification{}, schema.OnDrift, "", true},
		{schema.Notification{}, schema.OnApplied, "lb01", false},
		{schema.Notification{}, schema.OnLeader, "lb01", false},
		{schema.Notification{On: []string{"applied"}}, schema.OnApplied, "lb01", true},
		{schema.Notification{On: []string{"applied"}}, schema.OnTransition, "lb01", false},
		{schema.Notification{Hosts: []string{"lb02"}}, schema.OnTransition, "lb01", false},
		{schema.Notification{Hosts: []string{"lb02"}}, schema.OnTransition, "", false},
		{schema.Notification{Hosts: []string{"lb02", "lb01"}}, schema.OnTransition, "lb01", true},
	} {
		if got := c.n.Wants(c.event, c.host); got != c.want {
			t.Errorf("%+v: %s of %q: %t", c.n, c.event, c.host, got)
		}
	}
}
