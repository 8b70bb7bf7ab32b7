package draw

import (
	"reflect"
	"testing"

	"github.com/hactl/hactl/reconcile/topology"
)

func TestConditionsBecomeMarks(t *testing.T) {
	m := Marks{"host/lb02": {Down}}
	m.AddConditions(map[string]topology.Condition{
		"host/lb01":         {Healthy: true, Active: []string{"web"}},
		"host/lb02":         {Unhealthy: true, Active: []string{"web"}},
		"virtualRouter/web": {Healthy: true, Active: []string{"lb01"}},
		"virtualRouter/two": {Unhealthy: true, Active: []string{"lb01", "lb02"}},
		"pool/main":         {Unhealthy: true},
		"pool/other":        {},
	})
	want := Marks{
		"host/lb01": {Active}, "host/lb02": {Down, Active}, "virtualRouter/web": {Active}, "virtualRouter/two": {Split}, "pool/main": {Unhealthy},
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got  %v\nwant %v", m, want)
	}
}
