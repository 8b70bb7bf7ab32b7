package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
)

// threeHosts is a specification of edge and LAN.
const threeHosts = `package edge
stack: "site"
leader: virtualRouter: "web"
hosts: {
	lb01: {address: "192.168.0.41", agent: "https://192.168.0.41:9443"}
	lb02: {address: "192.168.0.42", agent: "https://192.168.0.42:9443"}
	lb03: {address: "192.168.0.43", agent: "https://192.168.0.43:9443"}
}
virtualRouters: web: {
	vrid: 50, interface: "eth0", interval: "300ms", addresses: ["192.168.0.40/24"]
	members: {lb01: priority: 150, lb02: priority: 120, lb03: priority: 100}
}
tunnels: one: {connectors: ["lb01"], ingress: [{hostname: "one.example.com", service: "http://192.168.0.41"}]}
monitors: web: {type: "https", path: "/healthz", expectedCodes: "200"}
pools: {
	one: {monitor: "web", origins: a: tunnel: "one"}
	two: {monitor: "web", origins: {a: address: "203.0.113.2", b: address: "203.0.113.3"}}
}
loadBalancers: "www.example.com": {zone: "example.com", defaultPools: ["one", "two"], fallbackPool: "two"}
notifications: ops: {type: "webhook", url: "https://192.168.0.9/notify"}
`

// fleet is three hosts that follow one repository, the first over ssh, and
// apply edge changes where they lead.
func (s *site) fleet(v *services, args ...string) []*onHost {
	s.t.Helper()
	token := filepath.Join(v.dir, "token")
	if err := os.WriteFile(token, []byte("the hosts' token\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	v.sshd()
	var hosts []*onHost
	for i := 1; i <= 3; i++ {
		name, address := fmt.Sprintf("lb0%d", i), fmt.Sprintf("192.168.0.4%d", i)
		h := s.newAgent(name, "", v.env()...)
		cert, key := v.ca.files(s.t, address)
		h.args = append([]string{"--agent-ca-file", v.ca.file, "--listen", address + ":9443", "--tls-cert", cert, "--tls-key", key, "--agent-token-file", token, "--poll", "1s", "--resync", "2s"}, args...)
		if i == 1 {
			h.args = append(h.args, v.overSSH()...)
		} else {
			h.args = append(h.args, v.overHTTPS()...)
		}
		hosts = append(hosts, h)
	}
	return hosts
}

// running starts the agents of a fleet; all run a revision, and the first of them
// has applied it at the edge.
func (s *site) running(hosts []*onHost, sha string) {
	s.t.Helper()
	for _, h := range hosts {
		h.start()
	}
	for _, h := range hosts {
		s.eventually(h.host+" runs it", h.runs(sha))
	}
	s.eventually(hosts[0].host+" has applied it", hosts[0].applied(sha))
}

// report asks a host's agent by its socket; it is empty where none answers.
func (a *onHost) report() *agentReport {
	r := &agentReport{}
	out, err := a.hactl("status", "-o", "json").Output()
	if len(out) == 0 && err != nil || json.Unmarshal(out, r) != nil {
		return &agentReport{}
	}
	return r
}

func (a *onHost) runs(sha string) func() bool {
	return func() bool { return a.report().Follow.Revision == sha }
}

// refuses tells whether an agent refuses a revision, for a reason and in words.
func (a *onHost) refuses(sha, reason, words string) func() bool {
	return func() bool {
		r := a.report().Follow.Refused
		return r != nil && r.Revision == sha && string(r.Reason) == reason && strings.Contains(r.Message, words)
	}
}

// applied tells whether a host has applied a revision whole at the edge.
func (a *onHost) applied(sha string) func() bool {
	return func() bool { return a.report().Edge.Revision == sha }
}

// ask runs a hactl command on the client, who is no host.
func (v *services) ask(args ...string) (string, error) {
	cmd := exec.Command("ip", append([]string{"netns", "exec", v.s.client, v.s.program()}, args...)...)
	cmd.Env = append(append(os.Environ(), v.env()...), gorace, "HACTL_STATE_DIR="+v.path("client"), "HACTL_AGENT_TOKEN_FILE="+v.path("token"), "HACTL_AGENT_CA_FILE="+v.ca.file)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// hook is what Gitea sends after a push.
func (v *services) hook(host *onHost, secret string) *exec.Cmd {
	body := []byte(`{"ref": "refs/heads/main"}`)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	cmd := exec.Command("ip", "netns", "exec", v.s.client, "curl", "--silent", "--fail", "--cacert", v.ca.file, "--data-binary", string(body),
		"-H", "Content-Type: application/json", "-H", "X-Gitea-Event: push", "-H", "X-Gitea-Signature: "+hex.EncodeToString(mac.Sum(nil)),
		"https://192.168.0.4"+strings.TrimPrefix(host.host, "lb0")+":9443/webhook")
	return cmd
}

// page is what a host's page shows to a browser on the client.
func (v *services) page(host *onHost) string {
	out, _ := exec.Command("ip", "netns", "exec", v.s.client, "curl", "--silent", "--fail", "--compressed", "--cacert", v.ca.file,
		"--user", "anybody:the hosts' token", "https://192.168.0.4"+strings.TrimPrefix(host.host, "lb0")+":9443/").Output()
	return string(out)
}

// TestWhatIsPushedReachesHostsAndEdge is the life of a repository that is
// followed by three hosts: what is signed and right runs everywhere and once at
// the edge; what is not changes nothing anywhere, and everybody can see why.
func TestWhatIsPushedReachesHostsAndEdge(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	v := s.serveAll()
	alice := v.key("alice")
	v.key("mallory")
	signers, secret := v.path("signers"), v.path("hooksecret")
	for name, content := range map[string]string{signers: "alice@example.com namespaces=\"git\" " + alice + "\n", secret: "shared\n", v.path("forgetoken"): "forge's token\n"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hosts := s.fleet(v, "--signers", signers, "--eval-memory", "256", "--eval-timeout", "30s", "--webhook-secret-file", secret)
	lb01, lb02, lb03 := hosts[0], hosts[1], hosts[2]
	lb02.args = append(lb02.args, "--forge", "gitea", "--forge-url", "https://"+servicesAddress+"/api/v1", "--forge-token-file", v.path("forgetoken"))
	first := v.push(threeHosts, "alice")
	lb01.start()
	s.eventually("lb01 is Active", lb01.is("active"))
	lb02.start()
	lb03.start()
	s.eventually("all run it", func() bool { return lb01.runs(first)() && lb02.runs(first)() && lb03.runs(first)() })
	s.eventually("lb01 has applied it", lb01.applied(first))
	if signer := lb02.report().Follow.Signer; !strings.HasPrefix(signer, "alice@example.com (SSH SHA256:") {
		t.Errorf("it is signed by %q", signer)
	}
	// Each host's page shows all of them.
	s.eventually("lb02's page shows who is Active, and who leads", func() bool {
		page := v.page(lb02)
		return strings.Contains(page, `<span class="good">lb01</span></td><td>lb02 (backup), lb03 (backup)`) && strings.Contains(page, "active on lb01") &&
			strings.Contains(page, "<p>lb01 leads.") && strings.Count(page, "<code>"+first[:12]+"</code>") >= 3
	})
	p := s.probe(vip)
	if lb02.report().Edge.Leadership.Mine || v.writes("192.168.0.42", time.Time{}) > 0 {
		t.Error("lb02 does not lead, and has written")
	}

	// Not alice's, nobody's, not right, and back to what was before.
	refused := func(what, sha, reason, words string) {
		t.Helper()
		since := time.Now()
		for _, h := range hosts {
			s.eventually(h.host+" refuses what is "+what, h.refuses(sha, reason, words))
			if now := h.report().Follow.Revision; now != first {
				t.Errorf("%s runs %s", h.host, now)
			}
		}
		if n := v.writes("", since); n > 0 {
			t.Errorf("what is %s led to %d changes at the edge", what, n)
		}
	}
	changed := strings.Replace(threeHosts, `path: "/healthz"`, `path: "/ready"`, 1)
	refused("unsigned", v.push(changed, ""), "untrusted", "not signed")
	refused("signed by a stranger", v.push(changed, "mallory"), "untrusted", "SHA256:")
	v.git("-C", v.path("work"), "reset", "--quiet", "--hard", first)
	refused("wrong", v.push(strings.Replace(changed, "vrid: 50", "vird: 50", 1), "alice"), "invalid", "edge.cue:10:2: virtualRouters.web.vird")
	refused("a bomb", v.push(strings.Replace(changed, "package edge\n", "package edge\nimport \"list\"\n", 1)+
		"_x: [for a in list.Range(0, 3000, 1) for b in list.Range(0, 3000, 1) {a * b}]\nmonitors: \"m\\(len(_x))\": {}\n", "alice"), "invalid", "evaluation ")
	refused("empty", v.push("package edge\nstack: \"site\"\n", "alice"), "guarded", "empty")
	if err := os.Mkdir(v.path("spec"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(v.path("spec/edge.cue"), []byte(threeHosts), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := v.ask("status", "-C", v.path("spec"))
	if err == nil || !strings.Contains(out, "refuses") || !strings.Contains(out, "guarded") {
		t.Errorf("status does not tell: %v: %s", err, out)
	}
	s.eventually("lb02 logs the refusal", func() bool { return lb02.logged("is refused", "reason=guarded") > 0 })
	if n := lb02.logged("is refused", "reason=guarded"); n != 1 {
		t.Errorf("lb02 logged the refusal %d times", n)
	}

	s.eventually("somebody is told", func() bool { return v.heard(`"kind":"refused"`, `"host":"lb02"`, "untrusted") })
	s.eventually("and of the transition", func() bool { return v.heard(`"kind":"transition"`, `"host":"lb01"`, "web is active on lb01") })

	// What is right again runs, within a moment of the webhook, and the forge is told.
	v.git("-C", v.path("work"), "reset", "--quiet", "--hard", first)
	second := v.push(changed, "alice")
	began := time.Now()
	if out, err := v.hook(lb03, "shared").CombinedOutput(); err != nil {
		t.Errorf("webhook: %v: %s", err, out)
	}
	s.eventually("lb03 runs it", func() bool { return lb03.status().Revision == second })
	t.Logf("from webhook to engine: %s", time.Since(began).Round(time.Millisecond))
	began = time.Now()
	if out, err := v.hook(lb01, "shared").CombinedOutput(); err != nil {
		t.Errorf("webhook: %v: %s", err, out)
	}
	s.eventually("lb01 has applied it", func() bool { return lb01.logged("the edge is as the revision has it", second) > 0 })
	t.Logf("from webhook to applied at the edge: %s", time.Since(began).Round(time.Millisecond))
	if out, err := v.hook(lb03, "guessed").CombinedOutput(); err == nil {
		t.Errorf("a hook with a wrong signature is answered %s", out)
	}
	if out, err := v.ask("apply", "--wait", "--yes", "-C", v.path("spec")); err == nil || !strings.Contains(out, "goes with --repo") {
		t.Errorf("apply --wait of a directory: %v: %s", err, out)
	}
	out, err = v.ask(append([]string{"apply", "--wait", "--yes"}, v.overHTTPS()...)...)
	if err != nil || !strings.Contains(out, "3 hosts run "+second[:12]) {
		t.Errorf("apply --wait: %v: %s", err, out)
	}
	s.eventually("the forge knows", func() bool { return len(v.told(second, "hactl/lb02")) > 0 })
	if states := v.told(second, "hactl/lb02"); !strings.Contains(states[len(states)-1], `"success"`) {
		t.Errorf("the forge was told %q", states)
	}
	v.git("-C", v.path("edge.git"), "update-ref", "refs/heads/main", first)
	for _, h := range hosts {
		s.eventually(h.host+" refuses to go back", h.refuses(first, "rewound", "no successor"))
		if now := h.report().Follow.Revision; now != second {
			t.Errorf("%s runs %s", h.host, now)
		}
	}
	if out, err := lb01.hactl("sync", "--allow", "rewind").CombinedOutput(); err != nil {
		t.Errorf("sync: %v: %s", err, out)
	}
	s.eventually("lb01 goes back when it is allowed", lb01.runs(first))

	// Who leads knows what Cloudflare finds, and what-if starts from there.
	if err := v.sim.SetHealth("two", "a", cfsim.Finding{Reason: "TCP connection failed"}); err != nil {
		t.Fatal(err)
	}
	s.eventually("lb01 knows of the origin", func() bool {
		h := lb01.report().Edge.Health
		return h != nil && h.Pools["two"].Origins["a"].Reason == "TCP connection failed" && h.Pools["two"].Healthy && h.Tunnels["one"].Status == "inactive"
	})
	if lb02.report().Edge.Health != nil {
		t.Error("lb02 does not lead, and tells of the edge")
	}
	if out, err := lb01.hactl("status").CombinedOutput(); err != nil && len(out) == 0 || !bytes.Contains(out, []byte("UNHEALTHY: origin/two/a (TCP connection failed), tunnel/one (inactive)")) {
		t.Errorf("status says %v\n%s", err, out)
	}
	out, err = v.ask("whatif", "--live", "--down", "host/lb01", "-C", v.path("spec"))
	if err != nil || !strings.Contains(out, "down    connector/one@lb01, origin/two/a\n  active  lb01 for virtualRouter/web\n") || !strings.Contains(out, "lb01 -> lb02") {
		t.Errorf("whatif --live: %v\n%s", err, out)
	}

	// An agent that does not answer is unknown, and not without objects.
	lb03.kill()
	out, _ = v.ask(append([]string{"diff"}, v.overHTTPS()...)...)
	if !strings.Contains(out, "lb03 is unknown") || !strings.Contains(out, "lb02 runs "+second[:12]) {
		t.Errorf("diff says\n%s", out)
	}
	if n := p.lost(); n > 0 {
		t.Errorf("lost %d probes", n)
	}
	record, err := os.ReadFile(filepath.Join(s.dir, "lb01.state", "audit.jsonl"))
	if err != nil || !bytes.Contains(record, []byte(`"step":"pool/one"`)) || !bytes.Contains(record, []byte(`"result":"refused"`)) {
		t.Errorf("the record: %v: %s", err, record)
	}
	if leaks(t, s.dir, "the hosts' token", simToken, "forge's token") {
		t.Error("a secret is in a log or a record")
	}
}

// leaks tells whether a log, a record or a saved specification holds a secret.
func leaks(t *testing.T, dir string, secrets ...string) (found bool) {
	t.Helper()
	logs, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	states, _ := filepath.Glob(filepath.Join(dir, "*.state", "*"))
	for _, name := range append(logs, states...) {
		b, _ := os.ReadFile(name)
		for _, secret := range secrets {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s holds %q", name, secret)
				found = true
			}
		}
	}
	return found
}

// TestWhatAllMustAgreeOnChangesInSteps pushes another VRID and another version
// to hosts that poll each in its own phase: nobody is deaf to another on the
// way, and a client notices nothing.
func TestWhatAllMustAgreeOnChangesInSteps(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	v := s.serveAll()
	hosts := s.fleet(v, "--poll", "3s")
	first := v.push(strings.Replace(threeHosts, `vrid: 50,`, `vrid: 50, activationDelay: "10s",`, 1), "")
	for _, h := range hosts {
		h.start()
		s.eventually(h.host+" runs it", h.runs(first))
		time.Sleep(time.Second) // so that they do not poll together
	}
	s.eventually("lb01 is Active", hosts[0].is("active"))
	p := s.probe(vip)
	// One that does not follow for now, but answers, is waited for.
	if out, err := hosts[2].hactl("suspend", "--for", "1h").CombinedOutput(); err != nil {
		t.Fatalf("suspend: %v: %s", err, out)
	}
	second := v.push(strings.NewReplacer(`vrid: 50,`, `vrid: 51, activationDelay: "10s",`).Replace(threeHosts), "")
	s.eventually("the others know it", func() bool { return hosts[0].runs(second)() && hosts[1].runs(second)() })
	s.during(20*time.Second, "nobody goes ahead", func() bool { return hosts[0].router().VRID == 50 && hosts[1].router().VRID == 50 })
	if hosts[0].logged("some that are behind", "lb03") == 0 {
		t.Error("nobody says who is waited for")
	}
	if out, err := hosts[2].hactl("resume").CombinedOutput(); err != nil {
		t.Fatalf("resume: %v: %s", err, out)
	}
	changed := func(h *onHost) func() bool {
		return func() bool { r := h.router(); return r.VRID == 51 }
	}
	for _, h := range hosts {
		s.eventually(h.host+" has the new VRID", changed(h))
	}
	for _, h := range hosts {
		if n := h.router().Counters.Transitions["active"]; h != hosts[0] && n > 0 {
			t.Errorf("%s was Active %d times", h.host, n)
		}
	}
	if n := p.lost(); n > 0 {
		t.Errorf("lost %d probes", n)
	}
}
