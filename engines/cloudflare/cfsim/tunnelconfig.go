package cfsim

import (
	"fmt"
	"net/http"
	"strings"
)

// codeConfig is what the service answers to a configuration it does not accept (UNVERIFIED).
const codeConfig = 1056

// serveTunnelConfig: a configuration is written whole, there is no DELETE.
func (s *Server) serveTunnelConfig(base string) {
	origin := originRequestShape()
	s.shapes.tunnelConfig = record(map[string]*shape{
		"config": record(map[string]*shape{
			"ingress": list(record(map[string]*shape{
				"hostname": str(), "path": str(), "service": str().need(), "originRequest": origin,
			})).need().atLeast(1),
			"originRequest": origin,
			"warp-routing":  record(nil).ro(), // deprecated
		}).need(),
	})
	s.handle("GET "+base+"/{id}/configurations", s.withTunnel(s.getTunnelConfig))
	s.handle("PUT "+base+"/{id}/configurations", s.withTunnel(s.putTunnelConfig))
}

// originRequestShape: durations are whole seconds. The defaults are the API's; cloudflared's own differ
// (connectTimeout 30).
func originRequestShape() *shape {
	return record(map[string]*shape{
		"access": record(map[string]*shape{
			"audTag": list(str()).need(), "teamName": str().need(), "required": boolean().fill(false),
		}),
		"caPool":                 str().fill(""),
		"connectTimeout":         integer().between(0, 86400).fill(int64(10)),
		"disableChunkedEncoding": boolean().fill(false),
		"http2Origin":            boolean().fill(false),
		"httpHostHeader":         str().fill(""),
		"keepAliveConnections":   integer().between(0, 1<<20).fill(int64(100)),
		"keepAliveTimeout":       integer().between(0, 86400).fill(int64(90)),
		"matchSNItoHost":         boolean().fill(false),
		"noHappyEyeballs":        boolean().fill(false),
		"noTLSVerify":            boolean().fill(false),
		"originServerName":       str().fill(""),
		"proxyType":              str().oneOf("", "socks").fill(""),
		"tcpKeepAlive":           integer().between(0, 86400).fill(int64(30)),
		"tlsTimeout":             integer().between(0, 86400).fill(int64(10)),
	})
}

// undeclared are fields that the server returns with an originRequest and that no request may carry.
func undeclared() object {
	return object{"bastionMode": false, "proxyAddress": "127.0.0.1", "proxyPort": int64(0)}
}

func (s *Server) getTunnelConfig(c *call, t *tunnel) (reply, error) { return body(s.tunnelConfig(t)) }

// tunnelConfig: before the first PUT the version is 0 and the configuration only holds warp-routing, as is recorded
// for a tunnel made in the dashboard.
func (s *Server) tunnelConfig(t *tunnel) object {
	config := t.config
	if config == nil {
		config = object{"warp-routing": object{"enabled": false}}
	}
	return object{
		"account_id": s.opt.Account, "tunnel_id": t.id, "version": t.version, "created_at": t.configAt,
		"source": t.configFrom, "config": config,
	}
}

// putTunnelConfig replaces the configuration. The top level's originRequest always comes back with every field; a
// rule's comes back with every field where the rule has one, and what it does not set is then what the top level
// says, so that the expansion changes nothing for the connector (UNVERIFIED where both levels are set).
func (s *Server) putTunnelConfig(c *call, t *tunnel) (reply, error) {
	in, err := c.read(s.shapes.tunnelConfig, false)
	if err != nil {
		return reply{}, refuse(http.StatusBadRequest, codeConfig, "Bad Configuration: %s", err)
	}
	config := child(in, "config")
	rules := items(config, "ingress")
	if err := checkIngress(rules); err != nil {
		return reply{}, refuse(http.StatusBadRequest, codeConfig, "Bad Configuration: %s", err)
	}
	top := child(config, "originRequest")
	if top == nil {
		top = object{}
	}
	s.shapes.tunnelConfig.props["config"].props["originRequest"].complete(top)
	for key, v := range undeclared() {
		top[key] = v
	}
	config["originRequest"] = top
	for _, item := range rules {
		rule := item.(object)
		if own := child(rule, "originRequest"); own != nil {
			if access := child(own, "access"); access != nil && access["required"] == nil {
				access["required"] = false
			}
			for key, v := range top {
				if _, set := own[key]; !set {
					own[key] = clone(v)
				}
			}
		}
	}
	config["warp-routing"] = object{"enabled": false}
	t.config, t.configAt, t.configFrom = config, c.now, "cloudflare"
	t.version++
	if text(t.body, "config_src") != "cloudflare" {
		// Writing a configuration makes a tunnel remotely managed (UNVERIFIED).
		t.body["config_src"], t.body["remote_config"], t.raw = "cloudflare", true, nil
	}
	return body(s.tunnelConfig(t))
}

// checkIngress: the last rule, and only the last, matches everything.
func checkIngress(rules []any) error {
	for i, item := range rules {
		rule := item.(object)
		all := (text(rule, "hostname") == "" || text(rule, "hostname") == "*") && text(rule, "path") == ""
		at := fmt.Sprintf("config.ingress[%d]", i)
		switch last := i == len(rules)-1; {
		case last && !all:
			return fmt.Errorf("%s: the last rule must match all URLs, without hostname and path", at)
		case !last && all:
			return fmt.Errorf("%s: matches all URLs but is not the last rule", at)
		}
		if host := text(rule, "hostname"); strings.Contains(strings.TrimPrefix(host, "*."), "*") && host != "*" {
			return fmt.Errorf("%s.hostname: a wildcard is only allowed as the first label", at)
		}
	}
	return nil
}
