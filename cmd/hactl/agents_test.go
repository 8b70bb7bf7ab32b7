package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
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
	vrid: 50, interface: "eth0", interval: "100ms", addresses: ["192.168.0.40/24"]
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
		s.plug(name, address+"/24")
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
	hosts := s.fleet(v, "--signers", signers, "--eval-memory", "256", "--eval-timeout", "4s", "--webhook-secret-file", secret)
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
	if n := lb02.logged("is refused", "reason=guarded"); n != 1 {
		t.Errorf("lb02 logged the refusal %d times", n)
	}

	s.eventually("somebody is told", func() bool { return v.heard(`"kind":"refused"`, `"host":"lb02"`, "untrusted") })
	if !v.heard(`"kind":"transition"`, `"host":"lb01"`, "web is active on lb01") {
		t.Error("nobody was told of the transition")
	}

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

// TestAHostStartsWithNothingToReach cuts the power of a host while Git and
// Cloudflare are away: it has its addresses from what is on its disk, and says
// so; a damaged file is set aside and keeps nothing else from working.
func TestAHostStartsWithNothingToReach(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	v := s.serveAll()
	hosts := s.fleet(v)
	lb01 := hosts[0]
	sha := v.push(strings.Replace(threeHosts, `interval: "100ms"`, `interval: "100ms", startupDelay: "0s"`, 1), "")
	lb01.start()
	s.eventually("lb01 has applied it", lb01.applied(sha))

	powerCut := func() {
		lb01.kill()
		_ = syscall.Kill(lb01.status().PID, syscall.SIGKILL)
		s.run("ip", "-n", s.ns("lb01"), "addr", "flush", "dev", "eth0")
		s.run("ip", "-n", s.ns("lb01"), "addr", "add", "192.168.0.41/24", "dev", "eth0")
		if err := os.RemoveAll(lb01.dir); err != nil { // It is in memory.
			t.Fatal(err)
		}
	}
	v.cut("git", true)
	v.cut("cloudflare", true)
	s.run("ip", "-n", s.ns("svc"), "link", "set", "eth0", "down") // ssh too
	powerCut()
	began := time.Now()
	lb01.start()
	s.eventually("it has the address", func() bool { return s.has("lb01", vip) })
	t.Logf("from start to address: %s, of which 300 ms and the skew time are Active_Down_Interval", time.Since(began).Round(time.Millisecond))
	r := lb01.report()
	if r.Follow.Revision != sha || !r.Follow.Restored || r.Ready != "yes" {
		t.Errorf("it says %+v", r.Follow)
	}

	// Damaged, it is of no use: the host waits for Git, and says what it found.
	powerCut()
	file := filepath.Join(s.dir, "lb01.state", "last-good.json")
	b, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, bytes.Replace(b, []byte(`"vrid":50`), []byte(`"vrid":51`), 1), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	lb01.start()
	s.eventually("it says that the file is damaged", func() bool { return strings.Contains(lb01.report().Follow.Damaged, "set aside") })
	if s.has("lb01", vip) {
		t.Error("it runs what is damaged")
	}
	if _, err := os.Stat(file + ".damaged"); err != nil {
		t.Error(err)
	}
	s.run("ip", "-n", s.ns("svc"), "link", "set", "eth0", "up")
	v.cut("git", false)
	v.cut("cloudflare", false)
	s.eventually("it runs what Git has", lb01.runs(sha))
	s.eventually("it has the address again", func() bool { return s.has("lb01", vip) })
}

// TestTheLeaderDiesOrSleepsWhileItApplies: the next one goes on where it was,
// and one that wakes up later sends nothing.
func TestTheLeaderDiesOrSleepsWhileItApplies(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"dies", "sleeps"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			v := s.serveAll()
			hosts := s.fleet(v)
			lb01, lb02 := hosts[0], hosts[1]
			first := v.push(threeHosts, "")
			for _, h := range hosts {
				h.start()
			}
			s.eventually("all run it", func() bool { return lb01.runs(first)() && lb02.runs(first)() && hosts[2].runs(first)() })
			s.eventually("lb01 has applied it", lb01.applied(first))
			p := s.probe(vip)

			// Many changes, each of which takes a while.
			v.sim.Inject(mustFault(t, "PUT * delay delay=300ms"))
			v.sim.Inject(mustFault(t, "POST * delay delay=300ms"))
			grown := threeHosts
			for i := range 24 {
				grown += fmt.Sprintf("dnsRecords: r%d: {zone: \"example.com\", name: \"r%d.example.com\", type: \"A\", content: \"198.51.100.%d\"}\n", i, i, i+1)
			}
			before := v.writes("192.168.0.41", time.Time{})
			second := v.push(grown, "")
			s.eventually("lb01 has begun", func() bool { return v.writes("192.168.0.41", time.Time{}) >= before+4 })
			engine := lb01.status().PID
			signal := syscall.SIGKILL
			if how == "sleeps" {
				signal = syscall.SIGSTOP
			}
			_ = syscall.Kill(engine, signal)
			_ = lb01.cmd.Process.Signal(signal)
			s.eventually("lb02 leads", func() bool { return lb02.report().Edge.Leadership.Mine })
			v.sim.ClearFaults()
			s.eventually("lb02 has applied it", lb02.applied(second))
			if how == "sleeps" {
				since := time.Now()
				_ = syscall.Kill(engine, syscall.SIGCONT)
				_ = lb01.cmd.Process.Signal(syscall.SIGCONT)
				s.eventually("lb01 runs it", lb01.runs(second))
				s.eventually("one of them leads", func() bool {
					return lb01.report().Edge.Leadership.Mine != lb02.report().Edge.Leadership.Mine
				})
				if n := v.writes("192.168.0.41", since); n > 0 {
					t.Errorf("lb01 has sent %d changes after it woke up", n)
				}
			} else {
				_ = lb01.cmd.Wait()
			}
			if out, err := v.ask(append([]string{"diff"}, v.overHTTPS()...)...); strings.Contains(out, "to create") || strings.Contains(out, "to update") || strings.Contains(out, "to delete") {
				t.Errorf("something is left to do: %v: %s", err, out)
			}
			records := v.list("/zones/" + v.zone() + "/dns_records?per_page=100")
			names := map[string]int{}
			for _, r := range records {
				names[fmt.Sprint(r["name"])]++
			}
			for name, n := range names {
				if n > 1 {
					t.Errorf("%s exists %d times", name, n)
				}
			}
			if n := p.lost(); n > 100 { // half a second: a failover, and not two
				t.Errorf("lost %d probes", n)
			}
		})
	}
}

func mustFault(t *testing.T, text string) cfsim.Fault {
	t.Helper()
	f, err := cfsim.ParseFault(text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// call asks Cloudflare as somebody else would.
func (v *services) call(method, path string, body any) map[string]any {
	v.s.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		v.s.t.Fatal(err)
	}
	r, err := http.NewRequest(method, cfsim.Prefix+path, bytes.NewReader(b))
	if err != nil {
		v.s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+simToken)
	r.Header.Set("Content-Type", "application/json")
	w := &answerBuffer{header: http.Header{}}
	v.sim.ServeHTTP(w, r)
	var envelope map[string]any
	if err := json.Unmarshal(w.body.Bytes(), &envelope); err != nil {
		v.s.t.Fatalf("%s %s: %v: %s", method, path, err, w.body.Bytes())
	}
	return envelope
}

type answerBuffer struct {
	header http.Header
	body   bytes.Buffer
}

func (a *answerBuffer) Header() http.Header         { return a.header }
func (a *answerBuffer) WriteHeader(int)             {}
func (a *answerBuffer) Write(b []byte) (int, error) { return a.body.Write(b) }

func (v *services) list(path string) (objects []map[string]any) {
	v.s.t.Helper()
	list, _ := v.call(http.MethodGet, path, nil)["result"].([]any)
	for _, o := range list {
		if m, ok := o.(map[string]any); ok {
			objects = append(objects, m)
		}
	}
	return objects
}

func (v *services) zone() string { return fmt.Sprint(v.list("/zones")[0]["id"]) }

// pool is a pool as Cloudflare has it.
func (v *services) pool(name string) map[string]any {
	for _, p := range v.list("/accounts/" + v.sim.Account() + "/load_balancers/pools") {
		if p["name"] == name {
			return p
		}
	}
	return nil
}

// TestDriftIsFoundAtTheEdgeAndOnTheHost: what somebody changes behind the
// specification's back is undone, or only told of; a host in maintenance is
// drained in every layer; a suspended agent does neither.
func TestDriftIsFoundAtTheEdgeAndOnTheHost(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	v := s.serveAll()
	hosts := s.fleet(v)
	lb01, lb02 := hosts[0], hosts[1]
	first := v.push(threeHosts, "")
	for _, h := range hosts {
		h.start()
	}
	s.eventually("all run it", func() bool { return lb01.runs(first)() && lb02.runs(first)() && hosts[2].runs(first)() })
	s.eventually("lb01 has applied it", lb01.applied(first))
	p := s.probe(vip)

	disable := func() {
		v.call(http.MethodPatch, fmt.Sprintf("/accounts/%s/load_balancers/pools/%s", v.sim.Account(), v.pool("two")["id"]), map[string]any{"enabled": false})
	}
	disable()
	s.eventually("it is enabled again", func() bool { return v.pool("two")["enabled"] == true })
	if lb01.logged("drift", "pool/two") != 1 {
		t.Error("the drift was not told of once")
	}

	// By hand on the host: another priority for the one that is Active.
	byHand := filepath.Join(s.dir, "by-hand")
	if err := os.MkdirAll(byHand, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(byHand, "edge.cue"), []byte(strings.Replace(threeHosts, "lb01: priority: 150", "lb01: priority: 160", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := lb01.hactl("apply", "--yes", "-C", byHand, "--target", "virtualRouter/web@lb01").CombinedOutput(); err != nil {
		t.Fatalf("apply: %v: %s", err, out)
	}
	s.eventually("it is 160", func() bool { return lb01.router().Priority == 160 })
	s.eventually("it is 150 again", func() bool { return lb01.router().Priority == 150 })
	if lb01.logged("drift", "configured by somebody else") != 1 {
		t.Error("the drift of the host was not told of once")
	}

	// Suspended, nothing is undone and nothing followed; resumed, both.
	if out, err := lb01.hactl("suspend", "--for", "1h", "--reason", "tests").CombinedOutput(); err != nil {
		t.Fatalf("suspend: %v: %s", err, out)
	}
	reported := strings.Replace(threeHosts, `stack: "site"`, "stack: \"site\"\npolicy: drift: \"report\"", 1)
	second := v.push(reported, "")
	disable()
	s.eventually("lb02 runs it", lb02.runs(second))
	since := time.Now()
	s.during(4*time.Second, "lb01 does not follow", func() bool { return lb01.report().Follow.Revision == first })
	if n := v.writes("", since); n > 0 {
		t.Errorf("suspended, it has sent %d changes", n)
	}
	if out, err := lb01.hactl("resume").CombinedOutput(); err != nil {
		t.Fatalf("resume: %v: %s", err, out)
	}
	s.eventually("lb01 runs it", lb01.runs(second))

	// Now drift is only told of, and what a push changes is applied beside it.
	defer func() {
		if t.Failed() {
			t.Logf("%+v", lb01.report().Edge)
		}
	}()
	s.eventually("it is shown as drift", func() bool {
		e := lb01.report().Edge
		return len(e.Drift) == 1 && e.Drift[0].ID.String() == "pool/two" && len(e.Pending) == 0
	})
	third := v.push(strings.Replace(reported, `path: "/healthz"`, `path: "/ready"`, 1), "")
	s.eventually("lb01 has applied it", lb01.applied(third))
	if v.pool("two")["enabled"] != false {
		t.Error("drift that is only to be reported was corrected")
	}

	// Maintenance drains every layer: the address moves, the origin goes.
	fourth := v.push(strings.Replace(threeHosts, `lb01: {address`, `lb01: {maintenance: true, address`, 1), "")
	s.eventually("lb02 is Active", lb02.is("active"))
	s.eventually("lb02 has applied it", lb02.applied(fourth))
	origins := fmt.Sprint(v.pool("one")["origins"])
	if !strings.Contains(origins, "enabled:false") {
		t.Errorf("the origin of a host in maintenance is %s", origins)
	}
	if s.has("lb01", vip) {
		t.Error("a host in maintenance has the address")
	}

	// The neighbour is keepalived, with the least priority: it has the address
	// when nobody else is there, and gives it back.
	s.neighbour("ka", "192.168.0.44/24")
	lb02.stop()
	hosts[2].stop()
	s.eventually("keepalived has the address", func() bool { return s.has("ka", vip) })
	lb02.start()
	s.eventually("lb02 has it back", func() bool { return s.has("lb02", vip) && !s.has("ka", vip) })
	if n := p.lost(); n > 6 { // three planned moves
		t.Errorf("lost %d probes", n)
	}
}

// neighbour is a host with keepalived in the Virtual Router of threeHosts.
func (s *site) neighbour(name, address string) {
	s.t.Helper()
	program := needs(s.t, "keepalived", "keepalived")
	s.plug(name, address)
	file := filepath.Join(s.dir, name+".conf")
	conf := "global_defs {\n vrrp_version 3\n}\nvrrp_instance web {\n state BACKUP\n interface eth0\n virtual_router_id 50\n priority 50\n advert_int 0.1\n" +
		" virtual_ipaddress {\n  192.168.0.40/24\n }\n}\n"
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command("ip", "netns", "exec", s.ns(name), program, "-n", "-l", "-P", "-f", file, "-p", filepath.Join(s.dir, name+".pid"), "-r", filepath.Join(s.dir, name+".vrrp"))
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() })
}

// TestWhatAllMustAgreeOnChangesInSteps pushes another VRID and another version
// to hosts that poll each in its own phase: nobody is deaf to another on the
// way, and a client notices nothing.
func TestWhatAllMustAgreeOnChangesInSteps(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	v := s.serveAll()
	hosts := s.fleet(v, "--poll", "3s")
	first := v.push(strings.Replace(threeHosts, `vrid: 50,`, `vrid: 50, activationDelay: "5s",`, 1), "")
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
	second := v.push(strings.NewReplacer(`vrid: 50,`, `vrid: 51, activationDelay: "5s",`).Replace(threeHosts), "")
	s.eventually("the others know it", func() bool { return hosts[0].runs(second)() && hosts[1].runs(second)() })
	s.during(16*time.Second, "nobody goes ahead", func() bool { return hosts[0].router().VRID == 50 && hosts[1].router().VRID == 50 })
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

// TestALeaseInEtcdSaysWhoLeads: one of two leads; the other follows at once
// when it is told to end, and after a while when it sleeps, and what wakes up
// sends nothing.
func TestALeaseInEtcdSaysWhoLeads(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	v := s.serveAll()
	hosts := s.fleet(v)[:2]
	v.etcd()
	spec := strings.Replace(threeHosts, `leader: virtualRouter: "web"`, `leader: etcd: ["http://`+servicesAddress+`:2379"]`, 1)
	first := v.push(spec, "")
	for _, h := range hosts {
		h.start()
	}
	leader := func() (leads, other *onHost) {
		a, b := hosts[0].report().Edge.Leadership.Mine, hosts[1].report().Edge.Leadership.Mine
		switch {
		case a && !b:
			return hosts[0], hosts[1]
		case b && !a:
			return hosts[1], hosts[0]
		}
		return nil, nil
	}
	var leads, other *onHost
	s.eventually("one leads", func() bool { leads, other = leader(); return leads != nil })
	s.eventually("it has applied it", leads.applied(first))
	address := map[string]string{"lb01": "192.168.0.41", "lb02": "192.168.0.42"}
	if n := v.writes(address[other.host], time.Time{}); n > 0 {
		t.Errorf("%s does not lead, and has sent %d changes", other.host, n)
	}

	_ = leads.cmd.Process.Signal(syscall.SIGSTOP)
	s.eventually("the other leads", func() bool { return other.report().Edge.Leadership.Mine })
	second := v.push(strings.Replace(spec, `path: "/healthz"`, `path: "/ready"`, 1), "")
	s.eventually("it has applied it", other.applied(second))
	since := time.Now()
	_ = leads.cmd.Process.Signal(syscall.SIGCONT)
	s.eventually("who slept runs it", leads.runs(second))
	if n := v.writes(address[leads.host], since); n > 0 || leads.report().Edge.Leadership.Mine {
		t.Errorf("who slept has sent %d changes, and leads: %v", n, leads.report().Edge.Leadership.Mine)
	}
	other.stop()
	s.eventually("who slept leads again", func() bool { return leads.report().Edge.Leadership.Mine })
}

// TestAddressesComeBeforeEverythingElse: what only shows or records, and another
// agent that may not run, keep no host from having its addresses.
func TestAddressesComeBeforeEverythingElse(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.plug("lb01", "192.168.0.41/24")
	a := s.newAgent("lb01", runSpec, "HACTL_HOST=")
	a.start()
	s.eventually("lb01 has the address", a.is("active"))
	kept := filepath.Join(s.dir, "lb01.state", "last-good.json")
	before, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}

	// Another one, with another specification, by hand.
	other := filepath.Join(s.dir, "other")
	if err := os.MkdirAll(other, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "edge.cue"), []byte(strings.Replace(runSpec, "vrid: 50", "vrid: 60", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, extra := range [][]string{nil, {"--runtime", filepath.Join(s.dir, "another.run")}} {
		out, err := a.hactl(append([]string{"run", "-C", other}, extra...)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "another hactl run") {
			t.Errorf("a second agent: %v: %s", err, out)
		}
	}
	if now, err := os.ReadFile(kept); err != nil || !bytes.Equal(now, before) {
		t.Error("a second agent has replaced the last good specification")
	}

	// An address that is not there yet, and a disk that nothing can be written to.
	a.kill()
	_ = syscall.Kill(a.status().PID, syscall.SIGKILL)
	state := filepath.Join(s.dir, "lb01.state")
	s.run("mount", "--bind", state, state)
	t.Cleanup(func() { _ = exec.Command("umount", state).Run() })
	s.run("mount", "-o", "remount,ro,bind", state)
	token := filepath.Join(s.dir, "token")
	cert, key := newAuthority(t, s.dir).files(t, "192.168.0.99")
	a.args = []string{"-C", a.spec, "--listen", "192.168.0.99:9443", "--tls-cert", cert, "--tls-key", key, "--agent-token-file", token}
	a.start()
	s.eventually("lb01 has the address again", a.is("active"))
	problems := strings.Join(a.report().Problems, "\n")
	for _, want := range []string{"read-only", "192.168.0.99:9443", "--agent-token-file"} {
		if !strings.Contains(problems, want) {
			t.Errorf("%q is not among the problems: %s", want, problems)
		}
	}
	if out, err := a.hactl("status").CombinedOutput(); err == nil || !strings.Contains(string(out), "PROBLEM") {
		t.Errorf("status: %v: %s", err, out)
	}
	s.run("ip", "-n", s.ns("lb01"), "addr", "add", "192.168.0.99/24", "dev", "eth0")
	s.eventually("it listens", func() bool { return !strings.Contains(strings.Join(a.report().Problems, "\n"), "9443") })
	a.stop() // ip netns exec gave it mounts of its own
	s.run("mount", "-o", "remount,rw,bind", state)
	a.start()
	s.eventually("lb01 is Active", a.is("active"))

	// The host is renamed, then taken out, over a restart too.
	p := s.probe(vip)
	renamed := strings.ReplaceAll(runSpec, "lb01", "edge01")
	a.write(renamed)
	s.eventually("it is edge01", func() bool { return a.report().Host == "edge01" })
	s.during(time.Second, "the address stays", func() bool { return s.has("lb01", vip) })
	if n := p.lost(); n > 0 {
		t.Errorf("the new name lost %d probes", n)
	}
	a.write(strings.NewReplacer(`edge01: address: "192.168.0.41", `, "", "edge01: priority: 150, ", "").Replace(renamed))
	s.eventually("it lets go", func() bool { return !s.has("lb01", vip) })
	for range 2 {
		if out, err := a.hactl("status").CombinedOutput(); err == nil || !strings.Contains(string(out), "this machine was edge01, which the specification has no more") {
			t.Errorf("status: %v: %s", err, out)
		}
		a.stop()
		a.start()
		s.eventually("it is there", func() bool { return a.report().Follow.Revision != "" })
	}
}
