package cfsim

import "math"

// lbFields are the fields of a load balancer's request.
func lbFields() map[string]*shape {
	fields := steeringFields()
	more := map[string]*shape{
		"name":        str().upTo(255),
		"description": str().fill(""),
		"enabled":     boolean().fill(true),
		"networks":    list(str()).fill([]any{"cloudflare"}),
		"proxied":     boolean().fill(false),
		"rules": list(record(map[string]*shape{
			"name":       str().upTo(200),
			"condition":  str(),
			"disabled":   boolean(),
			"priority":   integer().between(0, math.MaxInt32),
			"terminates": boolean(),
			"fixed_response": record(map[string]*shape{
				"content_type": str().upTo(32), "location": str().upTo(2048), "message_body": str().upTo(1024),
				"status_code": integer().between(200, 599),
			}),
			"overrides": record(overrideFields()),
		})),
	}
	for key, field := range more {
		fields[key] = field
	}
	fields["default_pools"].need()
	fields["fallback_pool"].need()

	// What the server fills in, at the top level only: a rule overrides just what it names.
	fields["adaptive_routing"].fill(object{}).props["failover_across_pools"].fill(false)
	fields["location_strategy"].fill(object{}).props["mode"].fill("pop")
	fields["location_strategy"].props["prefer_ecs"].fill("proximity")
	fields["random_steering"].fill(object{}).props["default_weight"].fill(1.0)
	attributes := fields["session_affinity_attributes"].fill(object{}).props
	attributes["drain_duration"].fill(0.0)
	attributes["samesite"].fill("Auto")
	attributes["secure"].fill("Auto")
	attributes["zero_downtime_failover"].fill("none")
	fields["session_affinity"].fill("none")
	fields["steering_policy"].fill("")
	fields["ttl"].fill(30.0)
	// country_pools stays absent when it is not set (recorded).
	fields["region_pools"].fill(object{})
	fields["pop_pools"].fill(object{})
	return fields
}

// overrideFields are what a rule may override.
func overrideFields() map[string]*shape {
	fields := steeringFields()
	fields["pools"] = list(str())
	fields["pool_weights"] = dict(num().between(0, 1))
	fields["pool_default_weight"] = num().between(0, 1)
	return fields
}

// steeringFields are common to a load balancer and to the overrides of its rules.
func steeringFields() map[string]*shape {
	return map[string]*shape{
		"adaptive_routing": record(map[string]*shape{"failover_across_pools": boolean()}),
		"default_pools":    list(str()).atLeast(1),
		"fallback_pool":    str(),
		"country_pools":    dict(list(str())),
		"region_pools":     regions(list(str())),
		"pop_pools":        dict(list(str())),
		"location_strategy": record(map[string]*shape{
			"mode":       str().oneOf("pop", "resolver_ip"),
			"prefer_ecs": str().oneOf("always", "never", "proximity", "geo"),
		}),
		"random_steering": record(map[string]*shape{
			"default_weight": num().between(0, 1), "pool_weights": dict(num().between(0, 1)),
		}),
		"session_affinity": str().oneOf("none", "cookie", "ip_cookie", "header"),
		"session_affinity_attributes": record(map[string]*shape{
			"drain_duration":         num().between(0, 3600),
			"headers":                list(str().need().upTo(100).matching(`^[a-zA-Z0-9_-]+$`)),
			"require_all_headers":    boolean(),
			"samesite":               str().oneOf("Auto", "Lax", "None", "Strict"),
			"secure":                 str().oneOf("Auto", "Always", "Never"),
			"zero_downtime_failover": str().oneOf("none", "temporary", "sticky"),
		}),
		"session_affinity_ttl": num().between(0, 604800),
		"steering_policy": str().oneOf("off", "geo", "random", "dynamic_latency", "proximity",
			"least_outstanding_requests", "least_connections", ""),
		"ttl": num().between(1, 86400),
	}
}

// regions is a map whose keys are the 13 regions.
func regions(values *shape) *shape {
	props := map[string]*shape{}
	for _, region := range []string{"WNAM", "ENAM", "WEU", "EEU", "NSAM", "SSAM", "OC", "ME", "NAF", "SAF", "SAS", "SEAS", "NEAS"} {
		props[region] = values
	}
	return record(props)
}
