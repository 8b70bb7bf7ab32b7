package follow_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/schema"
	"github.com/hactl/hactl/schema/load/loadtest"
)

func TestMain(m *testing.M) { loadtest.Main(m) }

// whole is a specification with something of nearly every kind.
func whole(t *testing.T) *schema.Spec {
	t.Helper()
	text := `package edge
stack: "home"
leader: virtualRouter: "web"
hosts: lb01: address: "192.168.0.41"
hosts: lb02: {address: "192.168.0.42", maintenance: true}
virtualRouters: web: {vrid: 50, interface: "eth0", addresses: ["192.168.0.40/24"], members: {lb01: priority: 150, lb02: priority: 100}}
tunnels: home: {connectors: ["lb01", "lb02"], ingress: [{hostname: "in.example.com", service: "http://192.168.0.40"}]}
monitors: web: {type: "https", path: "/", expectedCodes: "200"}
pools: tokyo: {monitor: "web", origins: a: {address: "203.0.113.1", weight: 0.3}}
loadBalancers: "www.example.com": {zone: "example.com", defaultPools: ["tokyo"], fallbackPool: "tokyo"}
dnsRecords: r: {zone: "example.com", name: "r.example.com", type: "A", content: "198.51.100.1"}
`
	return loadtest.Spec(t, text)
}

func kept(t *testing.T) (follow.File, *follow.Good, []byte) {
	t.Helper()
	file := follow.File(filepath.Join(t.TempDir(), "state", "last-good.json"))
	g := &follow.Good{
		Revision: strings.Repeat("ab", 20), Origin: "https://example.com/edge@main", Signer: "alice", Build: "build 1",
		Committed: time.Unix(1700000000, 0).UTC(), Accepted: time.Unix(1700000100, 5).UTC(), Spec: whole(t),
	}
	if err := file.Save(g); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(string(file))
	if err != nil {
		t.Fatal(err)
	}
	return file, g, b
}

// What is read back wants the very same of the edge and of every host.
func TestAFileHoldsAllOfASpecification(t *testing.T) {
	file, g, _ := kept(t)
	has, err := file.Load()
	if err != nil {
		t.Fatal(err)
	}
	all := func(s *schema.Spec) map[schema.ID]string {
		m := map[schema.ID]string{}
		for _, o := range s.Objects() {
			m[o.ID()] = reconcile.Fingerprint(o)
		}
		for host := range s.Hosts {
			for _, o := range s.HostObjects(host) {
				m[o.ID()] = reconcile.Fingerprint(o)
			}
		}
		return m
	}
	if a, b := all(g.Spec), all(has.Spec); !reflect.DeepEqual(a, b) || len(a) < 8 {
		t.Errorf("saved %v\nread %v", a, b)
	}
	if found, _ := follow.Rails(has.Spec, g.Spec, nil); len(found) != 0 {
		t.Errorf("guard rails between the two: %v", found)
	}
	saved := *g
	saved.Spec = has.Spec
	if !reflect.DeepEqual(&saved, has) {
		t.Errorf("saved %+v, read %+v", saved, has)
	}
	info, err := os.Stat(string(file))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if left, _ := os.ReadDir(filepath.Dir(string(file))); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	if g, err := follow.File(string(file) + ".none").Load(); g != nil || err != nil {
		t.Errorf("no file: %v, %v", g, err)
	}
}

// Whatever a power cut or a bad disk has made of the file, it is what was
// written or nothing.
func TestADamagedFileIsSetAside(t *testing.T) {
	file, g, _ := kept(t)
	g.Spec = &schema.Spec{Stack: "home"} // so that each byte can be tried
	if err := file.Save(g); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(string(file))
	if err != nil {
		t.Fatal(err)
	}
	broken := func(what string, at int, b []byte) {
		t.Helper()
		if err := os.WriteFile(string(file), b, 0o600); err != nil {
			t.Fatal(err)
		}
		g, err := file.Load()
		var damaged *follow.DamagedError
		if g != nil || !errors.As(err, &damaged) {
			t.Fatalf("%s at %d: %v, %v", what, at, g, err)
		}
		aside, err := os.ReadFile(damaged.Aside)
		if _, gone := os.Stat(string(file)); err != nil || string(aside) != string(b) || !errors.Is(gone, os.ErrNotExist) {
			t.Fatalf("%s at %d is not set aside: %v, %v", what, at, err, gone)
		}
	}
	for at := range whole {
		broken("cut", at, whole[:at])
		flipped := append([]byte{}, whole...)
		flipped[at] ^= 1 << (at % 8)
		broken("flipped", at, flipped)
	}
	broken("longer", len(whole), append(append([]byte{}, whole...), ' '))
	broken("zeros", 0, make([]byte, len(whole)))
}

func TestAFileOfANewerBuildIsGoneOnWith(t *testing.T) {
	file, g, _ := kept(t)
	newer := struct {
		*follow.Good
		Spec struct {
			*schema.Spec
			Satellites map[string]int `json:"satellites"`
		} `json:"spec"`
		Moon string `json:"moon"`
	}{Good: g, Moon: "full"}
	newer.Spec.Spec, newer.Spec.Satellites = g.Spec, map[string]int{"a": 1}
	content, err := json.Marshal(newer)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, content)
	has, err := file.Load()
	if err != nil || has.Revision != g.Revision || len(has.Spec.Pools) != 1 {
		t.Errorf("%+v, %v", has, err)
	}
	for _, nothing := range []string{`{}`, `{"revision": "r1"}`, `{"spec": {}}`, `[]`, ``} {
		write(t, file, []byte(nothing))
		if g, err := file.Load(); g != nil || err == nil {
			t.Errorf("%q: %v, %v", nothing, g, err)
		}
	}
}

func TestAFileThatCannotBeWrittenOrRead(t *testing.T) {
	_, g, _ := kept(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "flat"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := follow.File(filepath.Join(dir, "flat", "last-good.json")).Save(g); err == nil {
		t.Error("written below a file")
	}
	if g, err := follow.File(dir).Load(); g != nil || err == nil {
		t.Error("a folder was read")
	}
}

func TestASuspensionOnDisk(t *testing.T) {
	dir := t.TempDir()
	p := follow.Pause(filepath.Join(dir, "suspended.json"))
	now := time.Now()
	if s, err := p.Load(now); s != nil || err != nil {
		t.Errorf("none: %v, %v", s, err)
	}
	if err := p.Save(&follow.Suspension{Until: now.Add(time.Hour), Reason: "why"}); err != nil {
		t.Fatal(err)
	}
	if s, err := p.Load(now); err != nil || s == nil || s.Reason != "why" || !s.Until.Equal(now.Add(time.Hour)) {
		t.Errorf("%v, %v", s, err)
	}
	if s, err := p.Load(now.Add(time.Hour)); s != nil || err != nil {
		t.Errorf("over: %v, %v", s, err)
	}
	// A clock that was wrong when it was written must not suspend for years.
	if s, err := p.Load(now.Add(-follow.LongestSuspension)); s != nil || err != nil {
		t.Errorf("too long: %v, %v", s, err)
	}
	if err := os.WriteFile(string(p), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := p.Load(now); s != nil || err == nil {
		t.Errorf("damaged: %v, %v", s, err)
	}
	for range 2 {
		if err := p.Save(nil); err != nil {
			t.Error(err)
		}
	}
}

// write writes a file whose checksum is right.
func write(t *testing.T, file follow.File, content []byte) {
	t.Helper()
	sum := sha256.Sum256(content)
	b := "hactl last good specification, version 1, sha256 " + hex.EncodeToString(sum[:]) + "\n" + string(content)
	if err := os.WriteFile(string(file), []byte(b), 0o600); err != nil {
		t.Fatal(err)
	}
}
