package status

import (
	"reflect"
	"testing"

	"github.com/hactl/hactl/reconcile/topology"
)

func TestLiveKnowsTheHostsThatAnswer(t *testing.T) {
	got := Live([]Host{
		{Name: "lb01", Routers: []Router{{Name: "web", State: "fault", Priority: 150, Problem: "eth0 is down"}}},
		{Name: "lb02", Unknown: "it does not answer", Routers: []Router{{Name: "web", State: "active"}}},
		{Name: "lb03"},
	}, nil)
	want := topology.Live{
		Hosts: map[string]topology.HostState{
			"lb01": {"web": {State: "fault", Priority: 150, Why: "eth0 is down"}}, "lb03": {},
		},
		Unknown: []string{"host lb02: it does not answer"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
