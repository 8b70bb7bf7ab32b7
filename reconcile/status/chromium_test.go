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
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.WindowSize(1280, 900),
		chromedp.WSURLReadTimeout(2*time.Minute))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // it has none as root
	}
	limited, stop := context.WithTimeout(context.Background(), 10*time.Minute)
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
