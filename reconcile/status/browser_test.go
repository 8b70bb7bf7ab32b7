package status_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/hactl/hactl/reconcile/status"
)

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
	if text := b.text(); !strings.Contains(text, "(10.0.0.100/24): a00 -> b00, after ") || !strings.Contains(text, "Played as failed: host/a00") {
		t.Errorf("without a00: %s", text)
	}
	b.click(node("let it fail", "b00, host"))
	text := b.text()
	for _, want := range []string{"Played as failed: host/a00, host/b00", "virtualRouter/site00: nobody", "route/lan/10.0.0.0/24: nobody", "(10.0.0.100/24): nobody has it; a00 had"} {
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
