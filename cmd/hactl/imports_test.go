package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const ours = "github.com/hactl/hactl"

// mayImport is the DAG of our packages: what each may import of ours ("..." is
// everything). A package that is not listed is held to its nearest listed
// parent. The compiler sees to it that there is no cycle.
var mayImport = map[string][]string{
	"schema":                       {},
	"schema/load":                  {"schema"},
	"schema/load/loadtest":         {"schema", "schema/load"},
	"schema/emit":                  {"schema"},
	"schema/seal":                  {},
	"schema/keepalived":            {"schema"},
	"reconcile":                    {"schema"},
	"reconcile/source":             {"reconcile/source/gitsig"},
	"reconcile/source/gitsig":      {},
	"reconcile/audit":              {"reconcile", "schema"},
	"reconcile/forge":              {},
	"reconcile/lead":               {},
	"reconcile/loop":               {"schema", "schema/load", "reconcile", "reconcile/source", "reconcile/topology"},
	"reconcile/follow":             {"schema", "schema/load", "reconcile", "reconcile/source", "reconcile/loop", "reconcile/topology"},
	"reconcile/notify":             {"schema"},
	"reconcile/topology":           {"schema", "reconcile"},
	"reconcile/topology/draw":      {"reconcile/topology"},
	"reconcile/drill":              {"schema", "reconcile/topology"},
	"reconcile/render":             {"schema", "reconcile", "reconcile/topology", "reconcile/drill"},
	"reconcile/status":             {"schema", "reconcile", "reconcile/follow", "reconcile/topology", "reconcile/topology/draw", "reconcile/render"},
	"reconcile/enginetest":         {"schema", "reconcile", "reconcile/loop"},
	"engines/cloudflare":           {"schema", "reconcile"},
	"engines/cloudflare/cfsim":     {},
	"engines/cloudflare/wirecheck": {},
	"engines/vrrp":                 {},
	"engines/host":                 {"schema", "reconcile", "engines/vrrp", "engines/host/systemd"},
	"engines/host/systemd":         {},
	"engines/host/memory":          {"engines/host", "engines/vrrp"},
	"engines/host/netns":           {"schema", "engines/vrrp"},
	"engines/host/agent":           {"schema", "engines/host"},
	"engines/connector":            {"schema", "reconcile"},
	"examples":                     {},
	"cmd":                          {"..."},
}

// testsMayImport is what the tests of a package may import beyond that.
var testsMayImport = map[string][]string{
	"schema":          {"schema/load", "schema/load/loadtest", "schema/emit"},
	"reconcile":       {"schema/load", "schema/load/loadtest", "reconcile/loop", "reconcile/enginetest", "reconcile/topology"},
	"reconcile/drill": {"reconcile", "schema/load", "schema/load/loadtest", "engines/host", "engines/host/memory"},
	"engines":         {"schema/load", "schema/load/loadtest", "reconcile/enginetest", "reconcile/loop", "engines/cloudflare/cfsim", "engines/cloudflare/wirecheck"},
}

// keepers says which packages may import a foreign module: nobody else may, so
// that its types stop there.
var keepers = map[string][]string{
	"cuelang.org/go":                      {"schema/load", "schema/emit"},
	"filippo.io/age":                      {"schema/seal"},
	"github.com/prometheus":               {"reconcile/status"},
	"github.com/go-git":                   {"reconcile/source"},
	"github.com/ProtonMail/go-crypto":     {"reconcile/source/gitsig"},
	"github.com/cloudflare/cloudflare-go": {"engines/cloudflare"},
	"github.com/vishvananda/netlink":      {"engines/host", "engines/host/agent", "engines/host/netns"},
	"github.com/google/nftables":          {"engines/host"},
	"github.com/fsnotify/fsnotify":        {"reconcile/source"},
	"go.etcd.io":                          {"reconcile/lead"},
	"go.uber.org/zap":                     {"reconcile/lead"},
	"github.com/spf13/cobra":              {"cmd/hactl"},
	"github.com/spf13/pflag":              {"cmd/hactl"},
	"github.com/getkin/kin-openapi":       {"engines/cloudflare/wirecheck"},
	"github.com/rogpeppe/go-internal":     {"cmd/hactl"},
	"github.com/chromedp":                 {"reconcile/status"}, // its tests
	"golang.org/x/net/netutil":            {"cmd/hactl"},
}

// TestImportsFormTheDAG reads what go list knows of every package of ours.
func TestImportsFormTheDAG(t *testing.T) {
	packages := ourPackages(t)
	if len(packages) < 10 {
		t.Fatalf("go list finds %d packages only", len(packages))
	}
	for _, p := range packages {
		for _, imported := range p.Imports {
			checkImport(t, p.name(), imported, false)
		}
		for _, imported := range append(p.TestImports, p.XTestImports...) {
			checkImport(t, p.name(), imported, true)
		}
	}
}

func checkImport(t *testing.T, from, imported string, test bool) {
	t.Helper()
	what := from
	if test {
		what = "a test of " + from
	}
	to, own := strings.CutPrefix(imported, ours+"/")
	if own {
		rules, listed := nearest(mayImport, from)
		allowed := to == from || matches(rules, to)
		if extra, _ := nearest(testsMayImport, from); test {
			allowed = allowed || matches(extra, to)
		}
		switch {
		case !listed:
			t.Errorf("%s imports %s, and imports_test.go does not say what %s may import: add it to mayImport", what, to, from)
		case !allowed:
			t.Errorf("%s imports %s; of ours, %s may import only %q", what, to, from, rules)
		}
		return
	}
	for module, keeping := range keepers {
		if (imported == module || strings.HasPrefix(imported, module+"/")) && !matches(keeping, from) {
			t.Errorf("%s imports %s; only %q may import %s", what, imported, keeping, module)
		}
	}
}

// nearest is the rule of a package, else that of its nearest listed parent.
func nearest(rules map[string][]string, name string) ([]string, bool) {
	for dir := name; dir != "."; dir = path.Dir(dir) {
		if r, ok := rules[dir]; ok {
			return r, true
		}
	}
	return nil, false
}

func matches(rules []string, name string) bool {
	return slices.Contains(rules, name) || slices.Contains(rules, "...")
}

// listed is what go list -json says of one package.
type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func (p listed) name() string { return strings.TrimPrefix(p.ImportPath, ours+"/") }

func ourPackages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var packages []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); err == io.EOF {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}
