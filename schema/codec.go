package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Decode reads the JSON form of the object with that ID.
func Decode(id ID, b []byte) (Object, error) {
	var o Object
	var err error
	name, host := HostOf(id)
	switch id.Kind {
	case KindVirtualRouter:
		o, err = decode(b, HostRouter{Host: host, Name: name})
	case KindCheck:
		o, err = decode(b, HostCheck{Host: host, Name: name})
	case KindHook:
		o, err = decode(b, HostHook{Host: host, Name: name})
	case KindNetwork:
		o, err = decode(b, Network{Name: id.Name})
	case KindTunnel:
		o, err = decode(b, Tunnel{Name: id.Name})
	case KindTunnelConfiguration:
		o, err = decode(b, TunnelConfiguration{Tunnel: id.Name})
	case KindRoute:
		o, err = decode(b, Route{})
	case KindMonitor:
		o, err = decode(b, Monitor{Name: id.Name})
	case KindPool:
		o, err = decode(b, Pool{Name: id.Name})
	case KindLoadBalancer:
		o, err = decode(b, LoadBalancer{Hostname: id.Name})
	case KindPrivateLoadBalancer:
		o, err = decode(b, PrivateLoadBalancer{Name: id.Name})
	case KindDNSRecord:
		o, err = decode(b, DNSRecord{Key: id.Name})
	default:
		return nil, fmt.Errorf("%s: objects of this kind have no JSON form of their own", id)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", id, err)
	}
	if o.ID() != id {
		return nil, fmt.Errorf("%s: is called %s inside", id, o.ID())
	}
	return o, nil
}

func decode[T Object](b []byte, o T) (Object, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	err := d.Decode(&o)
	return o, err
}
