package status_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	fetchproto "github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/hactl/hactl/reconcile/status"
)

var shots = flag.String("shots", "", "write pictures of the page into this folder, to look at")

// newChromium starts a real one, with a profile of its own that goes with it.
func newChromium(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("HACTL_NETNS") == "required" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.WindowSize(1280, 900))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // it has none as root
	}
	limited, stop := context.WithTimeout(context.Background(), 2*time.Minute)
	allocator, cancel := chromedp.NewExecAllocator(limited, options...)
	ctx, _ := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		stop()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// tab is a tab of a browser, and what it asks the network for.
type tab struct {
	t    *testing.T
	ctx  context.Context
	at   string // the server
	mu   sync.Mutex
	urls []string
	size float64 // bytes that came, with headers

	password string
	tried    map[fetchproto.RequestID]bool
	answers  sync.WaitGroup
}

func open(t *testing.T, browser context.Context, h http.Handler) *tab {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	b := &tab{t: t, at: server.URL}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(b.hear))
	t.Cleanup(func() { cancel(); b.answers.Wait() })
	b.ctx = ctx
	b.do(call(network.Enable, network.EnableParams{}))
	return b
}

// call is a command of the browser's protocol whose answer does not matter.
func call[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.urls = append(b.urls, e.Request.URL)
	case *network.EventLoadingFinished:
		b.size += e.EncodedDataLength
	case *fetchproto.EventRequestPaused:
		b.answer(call(fetchproto.ContinueRequest, fetchproto.ContinueRequestParams{RequestID: e.RequestID}))
	case *fetchproto.EventAuthRequired:
		r := &fetchproto.AuthChallengeResponse{Response: fetchproto.AuthChallengeResponseResponseCancelAuth}
		if b.password != "" && !b.tried[e.RequestID] {
			b.tried[e.RequestID] = true
			r = &fetchproto.AuthChallengeResponse{Response: fetchproto.AuthChallengeResponseResponseProvideCredentials, Username: "anybody", Password: b.password}
		}
		b.answer(call(fetchproto.ContinueWithAuth, fetchproto.ContinueWithAuthParams{RequestID: e.RequestID, AuthChallengeResponse: r}))
	}
}

// answer does something that an event asks for, beside what hears events.
func (b *tab) answer(step chromedp.Action[chromedp.Void]) {
	b.answers.Go(func() { _ = chromedp.Do(b.ctx, step) }) // The tab may have gone.
}

// types makes the person at the browser answer when it asks for a password, once
// for each page; "" cancels.
func (b *tab) types(password string) {
	b.t.Helper()
	b.mu.Lock()
	b.password, b.tried = password, map[fetchproto.RequestID]bool{}
	b.mu.Unlock()
	yes := true
	b.do(call(fetchproto.Enable, fetchproto.EnableParams{HandleAuthRequests: &yes}))
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) visit(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.at + path))
}

// look evaluates an expression in the page.
func look[T any](b *tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// text is what the page says, as it is shown.
func (b *tab) text() string { return look[string](b, `document.body.innerText`) }

// follow does what leads to another page, and waits for that.
func (b *tab) follow(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if _, err := chromedp.RunResponse(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) scheme(name string) {
	b.t.Helper()
	b.do(call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}}))
}

func (b *tab) width(w int64) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(w, 900))
}

// shoot writes a picture of all of the page, where -shots asks for it.
func (b *tab) shoot(name string) {
	b.t.Helper()
	if *shots == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(*shots, name+".png"), png, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// view writes a picture of what is in the window.
func (b *tab) view(name string) {
	b.t.Helper()
	if *shots == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(*shots, name+".png"), png, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// axe is the accessibility checker; see testdata/README.md.
var axe = sync.OnceValues(func() ([]byte, error) { return os.ReadFile(filepath.Join("testdata", "axe.min.js")) })

// accessible has axe-core look at the page: nothing of level serious or worse.
// Given rules, it looks at those alone.
func (b *tab) accessible(what string, rules ...string) {
	b.t.Helper()
	source, err := axe()
	if err != nil {
		b.t.Fatal(err)
	}
	if !look[bool](b, `typeof axe == "object"`) {
		look[chromedp.Void](b, string(source))
	}
	var result struct {
		Rules      int
		Violations []struct {
			ID, Impact string
			Nodes      []string
		}
	}
	only, least := "", 20
	if len(rules) > 0 {
		only, least = fmt.Sprintf(`, runOnly: ["%s"]`, strings.Join(rules, `", "`)), 1
	}
	said := look[string](b, `axe.run(document, {resultTypes: ["violations"]`+only+`}).then(r => JSON.stringify({
		rules: r.passes.length + r.violations.length,
		violations: r.violations.map(v => ({id: v.id, impact: v.impact, nodes: v.nodes.slice(0, 3).map(n => n.html.slice(0, 300) + " " + n.failureSummary)}))}))`)
	if err := json.Unmarshal([]byte(said), &result); err != nil {
		b.t.Fatal(err)
	}
	if result.Rules < least {
		b.t.Errorf("%s: only %d rules apply", what, result.Rules)
	}
	for _, v := range result.Violations {
		text := fmt.Sprintf("%s: %s (%s): %s", what, v.ID, v.Impact, strings.Join(v.Nodes, "\n"))
		if v.Impact == "serious" || v.Impact == "critical" {
			b.t.Error(text)
		} else {
			b.t.Log(text)
		}
	}
}

// node is a selector of a node in the picture, by what it is called.
func node(does, name string) string {
	return fmt.Sprintf(`[...document.querySelectorAll(".picture a")].find(a => a.querySelector("title").textContent.startsWith(%q) && a.querySelector("title").textContent.endsWith(%q))`, name, does)
}

// click clicks on a node of the picture with the mouse, where it is shown.
func (b *tab) click(element string) {
	b.t.Helper()
	at := look[[]float64](b, `(e => { e.scrollIntoView({block: "center", inline: "center"}); let r = e.querySelector("use").getBoundingClientRect(); return [r.left + r.width/2, r.top + r.height/2] })(`+element+`)`)
	b.follow(chromedp.MouseClickXY(at[0], at[1]))
}

// inView wants elements to be seen without scrolling.
func (b *tab) inView(what string, elements ...string) {
	b.t.Helper()
	for _, e := range elements {
		if at := look[string](b, `(e => { let r = e.getBoundingClientRect(), p = e.closest(".picture")?.getBoundingClientRect() ?? {top: 0, bottom: innerHeight, left: 0, right: innerWidth}
			return r.top >= Math.max(p.top, 0) - 1 && r.bottom <= Math.min(p.bottom, innerHeight) + 1 && r.left >= p.left - 1 && r.right <= p.right + 1 ? "" : JSON.stringify([r, p, innerHeight]) })(`+e+`)`); at != "" {
			b.t.Errorf("%s: %s is at %s", what, e, at)
		}
	}
}

// tabTo presses Tab until an element has the focus.
func (b *tab) tabTo(element string) {
	b.t.Helper()
	for range 200 {
		b.do(chromedp.KeyEvent(kb.Tab))
		if look[bool](b, `document.activeElement === (`+element+`)`) {
			return
		}
	}
	b.t.Fatalf("Tab does not lead to %s", element)
}

func TestThePageInChromium(t *testing.T) {
	browser := newChromium(t)
	t.Run("size and paint", func(t *testing.T) { sizeAndPaint(t, browser) }) // alone, as it measures
	for name, test := range map[string]func(*testing.T, context.Context){
		"what-if by click": whatIfByClick, "keyboard": byKeyboard, "dark and light": inBothSchemes, "without script": withoutScript,
		"accessible": accessible, "accessible with much": accessibleWithMuch, "token": withToken, "all hosts": ofAllHosts,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, browser)
		})
	}
}

func whatIfByClick(t *testing.T, browser context.Context) {
	b := open(t, browser, newWorld(1).server().Reader())
	b.visit("/")
	if text := b.text(); strings.Contains(text, "Played as failed") || strings.Contains(text, "cut off,") {
		t.Errorf("something has failed: %s", text)
	}
	b.click(node("let it fail", "a00, host"))
	if text := b.text(); !strings.Contains(text, "10.0.0.100/24 of site00 go to b00") || !strings.Contains(text, "Played as failed: host/a00") {
		t.Errorf("without a00: %s", text)
	}
	b.click(node("let it fail", "b00, host"))
	text := b.text()
	for _, want := range []string{"Played as failed: host/a00, host/b00", "virtualRouter/site00: nobody", "route/lan/10.0.0.0/24: nobody", "are nobody's"} {
		if !strings.Contains(text, want) {
			t.Errorf("without both, %q is missing in %s", want, text)
		}
	}
	b.inView("both hosts are down", `document.querySelector(".outcome")`, node("let it work again", "b00, host"))
	b.shoot("whatif")
	large := open(t, browser, newWorld(23).server().Reader())
	large.visit("/")
	for _, name := range []string{"b22, host", "site11/cloud, origin", "site04, tunnel"} {
		large.click(node("let it fail", name))
		large.inView(name+" is down", `document.querySelector(".outcome")`, node("let it work again", name))
	}
	large.view("large-whatif")
	b.click(node("let it work again", "a00, host"))
	if text := b.text(); !strings.Contains(text, "Played as failed: host/b00.") {
		t.Errorf("with a00 again: %s", text)
	}
	b.follow(chromedp.Click(chromedp.CSS(`.failures a[aria-current]`)))
	if text := b.text(); strings.Contains(text, "Played as failed") {
		t.Errorf("with both again: %s", text)
	}
}

func byKeyboard(t *testing.T, browser context.Context) {
	b := open(t, browser, newWorld(1).server().Reader())
	b.visit("/")
	b.do(chromedp.KeyEvent(kb.Tab))
	if got := look[string](b, `document.activeElement.textContent + " " + (document.activeElement.getBoundingClientRect().left >= 0)`); got != "Skip to the content true" {
		t.Errorf("the first Tab leads to %q", got)
	}
	b.do(chromedp.KeyEvent(kb.Enter))
	if got := look[string](b, `location.hash`); got != "#main" {
		t.Errorf("the skip link leads to %q", got)
	}
	target := node("let it fail", "b00, host")
	b.tabTo(target)
	if got := look[string](b, `getComputedStyle(document.activeElement).outlineStyle + " " + getComputedStyle(document.activeElement.querySelector("use")).strokeWidth`); got != "solid 4px" {
		t.Errorf("the focus shows as %q", got)
	}
	if got := look[string](b, `(r => r.top >= 0 && r.bottom <= innerHeight ? "in view" : JSON.stringify(r))(document.activeElement.getBoundingClientRect())`); got != "in view" {
		t.Errorf("the focus is at %s", got)
	}
	b.shoot("focus")
	b.follow(chromedp.KeyEvent(kb.Enter))
	if text := b.text(); !strings.Contains(text, "Played as failed: host/b00.") {
		t.Errorf("Enter does nothing: %s", text)
	}
	// The focus is where it was, so that the same key undoes it.
	if got := look[string](b, `document.activeElement.querySelector("title").textContent`); !strings.HasSuffix(got, "× down: let it work again") {
		t.Errorf("the focus is on %q", got)
	}
	b.follow(chromedp.KeyEvent(kb.Enter))
	if text := b.text(); strings.Contains(text, "Played as failed") {
		t.Errorf("Enter does not undo it: %s", text)
	}
}

func inBothSchemes(t *testing.T, browser context.Context) {
	b := open(t, browser, newWorld(2).server().Reader())
	const colours = `[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color, getComputedStyle(document.querySelector(".picture .bg")).fill].join(" ")`
	for scheme, want := range map[string]string{
		"light": "rgb(255, 255, 255) rgb(26, 29, 33) rgb(255, 255, 255)", "dark": "rgb(20, 23, 27) rgb(232, 234, 237) rgb(15, 20, 26)",
	} {
		b.scheme(scheme)
		b.visit("/")
		if got := look[string](b, colours); got != want {
			t.Errorf("%s is %s, want %s", scheme, got, want)
		}
		b.shoot(scheme)
	}
}

func withoutScript(t *testing.T, browser context.Context) {
	w := newWorld(2)
	w.bad()
	path := down("host/a00", "host/b00")
	b := open(t, browser, w.server().Reader())
	b.visit(path)
	with := b.text()
	b.do(call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
	b.do(chromedp.Navigate("data:text/html,<title>off</title><script>document.title = 'on'</script>"))
	if title := look[string](b, `document.title`); title != "off" {
		t.Fatalf("scripts are %s", title)
	}
	b.visit(path)
	timeless := func(s string) string {
		return regexp.MustCompile(`\b(\d+h)?(\d+m)?\d+s\b|\d\d:\d\d:\d\d`).ReplaceAllString(s, "T")
	}
	if without := b.text(); timeless(with) != timeless(without) {
		t.Errorf("it says, with scripts:\n%s\nand without:\n%s", with, without)
	}
	b.click(node("let it work again", "b00, host"))
	if text := b.text(); !strings.Contains(text, "Played as failed: host/a00.") {
		t.Errorf("a click without scripts: %s", text)
	}
}

func accessible(t *testing.T, browser context.Context)         { accessibleWith(t, browser, 2) }
func accessibleWithMuch(t *testing.T, browser context.Context) { accessibleWith(t, browser, 23) }

func accessibleWith(t *testing.T, browser context.Context, n int) {
	w := newWorld(n)
	w.bad()
	b := open(t, browser, w.server().Reader())
	for _, path := range []string{"/", down("host/a00", "host/b00")} {
		for _, scheme := range []string{"light", "dark"} {
			what := fmt.Sprintf("%d sites, %s, %s", n, path, scheme)
			b.scheme(scheme)
			b.visit(path)
			if scheme == "light" && (n < 10 || path == "/") {
				b.accessible(what)
			} else { // Colours are all that is another, or takes long.
				b.accessible(what, "color-contrast", "link-in-text-block")
			}
			b.shoot(fmt.Sprintf("bad%d-%s-%t", n, scheme, path == "/"))
		}
	}
	b.width(400)
	b.accessible(fmt.Sprintf("%d sites, narrow", n), "scrollable-region-focusable", "target-size", "nested-interactive", "link-name", "svg-img-alt", "meta-viewport")
	b.shoot(fmt.Sprintf("narrow%d", n))
}

// The limit of the page, all that it takes together.
const mostBytes = 150_000

func sizeAndPaint(t *testing.T, browser context.Context) {
	for _, n := range []int{1, 23} {
		w := newWorld(n)
		if n > 1 {
			w.bad()
		}
		b := open(t, browser, w.server().Reader())
		b.visit("/")
		nodes := look[int](b, `document.querySelectorAll(".picture .n > *").length`)
		raw := look[int](b, `document.documentElement.outerHTML.length`)
		b.mu.Lock()
		for _, u := range b.urls {
			if !strings.HasPrefix(u, b.at+"/") {
				t.Errorf("it asks %s", u)
			}
		}
		if b.size == 0 || b.size > mostBytes {
			t.Errorf("%d nodes: %.0f bytes", nodes, b.size)
		}
		size, requests := b.size, len(b.urls)
		b.mu.Unlock()
		var paints []float64
		for range 5 {
			b.visit("/")
			paints = append(paints, look[float64](b, `new Promise(done => {
				let seen = () => performance.getEntriesByName("first-contentful-paint")[0]
				if (seen()) return done(seen().startTime)
				new PerformanceObserver(() => { if (seen()) done(seen().startTime) }).observe({type: "paint", buffered: true})
			})`))
		}
		slices.Sort(paints)
		t.Logf("%d nodes: %.0f bytes in %d requests, %d uncompressed, first paint after %.0f ms (best %.0f, worst %.0f)", nodes, size, requests, raw, paints[2], paints[0], paints[4])
	}
}

func withToken(t *testing.T, browser context.Context) {
	s := newWorld(1).server()
	s.Token = func() (string, error) { return "opensesame", nil }
	b := open(t, browser, s.Reader())
	b.types("")
	b.visit("/")
	if text := b.text(); !strings.Contains(text, "a bearer token is needed") || strings.Contains(text, "a00") {
		t.Errorf("without the token: %s", text)
	}
	b.types("guess")
	b.visit("/")
	if text := b.text(); strings.Contains(text, "a00") {
		t.Errorf("with a guess: %s", text)
	}
	b.types("opensesame")
	b.visit("/")
	if text := b.text(); !strings.Contains(text, "a00") || !strings.Contains(text, "How requests go") {
		t.Errorf("with the token: %s", text)
	}
	b.click(node("let it fail", "a00, host"))
	if text := b.text(); !strings.Contains(text, "Played as failed: host/a00.") {
		t.Errorf("a click with the token: %s", text)
	}
}

func ofAllHosts(t *testing.T, browser context.Context) {
	w := newWorld(2)
	w.host("a00").Leads, w.host("a00").Edge = true, w.facts.Edge
	w.facts = status.Facts{}
	w.title = "The lab"
	b := open(t, browser, w.server().Reader())
	b.visit("/")
	if text := b.text(); !strings.Contains(text, "The lab") || strings.Contains(text, "Not ready") || !strings.Contains(text, "a00 leads.") {
		t.Errorf("it says %s", text)
	}
	b.accessible("all hosts")
	b.shoot("lab")
}
