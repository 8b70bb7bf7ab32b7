package notify_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hactl/hactl/reconcile/notify"
	"github.com/hactl/hactl/schema"
)

const slackURL = "https://hooks.slack.example.com/services/T000/B000/XXXXsecretXXXX"

func vault(r schema.SecretRef) (string, error) {
	switch r.Env {
	case "SLACK":
		return slackURL + "\n", nil
	case "KEY":
		return "k3y", nil
	}
	return "", fmt.Errorf("environment variable %s is not set", r.Env)
}

func webhook(url string) schema.Notification {
	return schema.Notification{Type: "webhook", URL: url, Window: schema.Seconds(300), Most: 3}
}

func slack() schema.Notification {
	return schema.Notification{Type: "slack", URLFrom: &schema.SecretRef{Env: "SLACK"}, Window: schema.Seconds(300), Most: 3}
}

// post is a request that arrived.
type post struct {
	at   time.Duration
	url  string
	body string
}

// world runs a Notifier in a bubble, with a transport that answers.
type world struct {
	*notify.Notifier
	t      *testing.T
	began  time.Time
	cancel func()
	ended  chan struct{}

	mu     sync.Mutex
	posts  []post
	errs   []string
	answer func(*http.Request) (int, http.Header, error)
}

func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	w.mu.Lock()
	w.posts = append(w.posts, post{time.Since(w.began), r.URL.String(), string(body)})
	answer := w.answer
	w.mu.Unlock()
	code, header, err := 200, http.Header{}, error(nil)
	if answer != nil {
		code, header, err = answer(r)
	}
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: code, Header: header, Body: io.NopCloser(strings.NewReader("no_service " + r.URL.Path))}, nil
}

func (w *world) report(target string, _ notify.Message, err error) {
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.errs = append(w.errs, target+": "+err.Error())
	}
}

func run(t *testing.T, targets map[string]schema.Notification, answer func(*http.Request) (int, http.Header, error), story func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, began: time.Now(), answer: answer, ended: make(chan struct{})}
		w.Notifier = notify.New(notify.Options{Host: "lb01", Secret: vault, Report: w.report, Client: &http.Client{Transport: w}})
		w.Configure(targets)
		ctx, cancel := context.WithCancel(t.Context())
		w.cancel = cancel
		go func() {
			w.Run(ctx)
			close(w.ended)
		}()
		synctest.Wait()
		story(w)
		cancel()
		<-w.ended
		for _, e := range w.errs {
			if strings.Contains(e, "XXXX") || strings.Contains(e, "k3y") {
				t.Errorf("tells a secret: %s", e)
			}
		}
	})
}

func (w *world) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) tell(subject, text string) {
	w.Send(notify.Message{Kind: schema.OnTransition, Subject: subject, Text: text})
	synctest.Wait()
}

// want compares the posts so far, as "seconds url body" with the parts that
// differ, and forgets them.
func (w *world) want(posts ...string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	ok := len(posts) == len(w.posts)
	for i := 0; ok && i < len(posts); i++ {
		p := w.posts[i]
		for part := range strings.SplitSeq(posts[i], "…") {
			ok = ok && strings.Contains(fmt.Sprintf("%gs %s %s", p.at.Seconds(), p.url, p.body), part)
		}
	}
	if !ok {
		w.t.Errorf("got %v, want %q", w.posts, posts)
	}
	w.posts = nil
}

func TestAWebhookGetsTheDocumentedPayload(t *testing.T) {
	arrived := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		want := `{"version":1,"kind":"transition","host":"lb01","subject":"web","text":"web is \u003cactive\u003e","revision":"6da8c14b5a91","time":"2026-01-02T03:04:05Z"}`
		mac := hmac.New(sha256.New, []byte("k3y"))
		mac.Write(body)
		if string(body) != want || r.Method != "POST" || r.URL.Path != "/hook" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("User-Agent") != "hactl" {
			t.Errorf("%s %s %v %s", r.Method, r.URL, r.Header, body)
		}
		if r.Header.Get("X-Hactl-Signature-256") != "sha256="+hex.EncodeToString(mac.Sum(nil)) {
			t.Errorf("%v", r.Header)
		}
		close(arrived)
	}))
	defer server.Close()
	n := notify.New(notify.Options{Host: "lb01", Secret: vault})
	to := webhook(server.URL + "/hook")
	to.Secret = &schema.SecretRef{Env: "KEY"}
	n.Configure(map[string]schema.Notification{"ops": to})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { n.Run(ctx); close(ended) }()
	n.Send(notify.Message{Kind: "transition", Subject: "web", Text: "web is <active>", Revision: "6da8c14b5a91", Time: time.Date(2026, 1, 2, 4, 4, 5, 0, time.FixedZone("", 3600))})
	<-arrived
	cancel()
	<-ended
}

func TestSlackGetsEscapedText(t *testing.T) {
	run(t, map[string]schema.Notification{"chat": slack()}, nil, func(w *world) {
		w.Send(notify.Message{Kind: schema.OnRefused, Subject: "x", Text: "<!channel> a & b\nrefused", Revision: "6da8c14b5a9102998148b7ea35f96507d5304f74"})
		synctest.Wait()
		w.want(`0s ` + slackURL + ` {"text":"lb01: \u0026lt;!channel\u0026gt; a \u0026amp; b refused (revision 6da8c14b5a91)"}`)
	})
}

func TestSlackGetsOneMessageASecond(t *testing.T) {
	run(t, map[string]schema.Notification{"chat": slack()}, nil, func(w *world) {
		w.tell("a", "1")
		w.tell("b", "2")
		w.tell("c", "3")
		w.after(5 * time.Second)
		w.want("0s …1", "1s …2", "2s …3")
	})
}

func TestTargetsGetWhatTheyAskFor(t *testing.T) {
	drift, other := webhook("https://a.example.com/drift"), webhook("https://a.example.com/other")
	drift.On, other.Hosts = []string{"drift"}, []string{"lb02"}
	run(t, map[string]schema.Notification{"drift": drift, "other": other}, nil, func(w *world) {
		w.tell("web", "web is active")
		w.want()
		w.Send(notify.Message{Kind: schema.OnDrift, Subject: "pool/a", Text: "differs"})
		synctest.Wait()
		w.want("https://a.example.com/drift …differs")
	})
}

func TestWhatFlapsIsBundled(t *testing.T) {
	run(t, map[string]schema.Notification{"ops": webhook("https://a.example.com/")}, nil, func(w *world) {
		for i := range 17 {
			w.tell("web", fmt.Sprintf("web is active on lb0%d", i%2+1))
			w.after(time.Second)
		}
		w.want("0s …lb01", "1s …lb02", "2s …lb01")
		w.after(5 * time.Minute)
		w.want(`300s …"text":"14 more transitions of web in 5m, the last: web is active on lb01"…"bundled":14`)
	})
}

func TestADeadTargetDelaysNoOther(t *testing.T) {
	dead := func(r *http.Request) (int, http.Header, error) {
		if r.URL.Host == "dead.example.com" {
			<-r.Context().Done()
			return 0, nil, r.Context().Err()
		}
		return 204, nil, nil
	}
	run(t, map[string]schema.Notification{"dead": webhook("https://dead.example.com/"), "well": webhook("https://well.example.com/")}, dead, func(w *world) {
		for i := range 200 {
			w.tell(fmt.Sprint("router", i), "x")
		}
		w.mu.Lock()
		well := 0
		for _, p := range w.posts {
			if strings.Contains(p.url, "well") && p.at == 0 {
				well++
			}
		}
		// One is under way, 64 wait.
		if lost := len(w.errs); well != 200 || lost != 200-1-64 || w.errs[0] != "dead: "+notify.ErrLost.Error() {
			t.Errorf("%d sent, %d lost", well, lost)
		}
		w.mu.Unlock()
	})
}

func TestTriesAreBounded(t *testing.T) {
	for name, c := range map[string]struct {
		code   int
		header http.Header
		err    error
		posts  []string
		report string
	}{
		"500":                {500, nil, nil, []string{"0s", "1s", "3s", "7s", "15s"}, "ops: the answer is 500: no_service (secret)"},
		"429":                {429, http.Header{"Retry-After": {"30"}}, nil, []string{"0s", "30s", "60s", "90s", "120s"}, "ops: the answer is 429: no_service (secret)"},
		"429 for a day":      {429, http.Header{"Retry-After": {"86400"}}, nil, []string{"0s", "120s", "240s", "360s", "480s"}, "ops: the answer is 429: no_service (secret)"},
		"404":                {404, nil, nil, []string{"0s"}, "ops: the answer is 404: no_service (secret)"},
		"a redirect":         {302, http.Header{"Location": {"https://elsewhere.example.com/"}}, nil, []string{"0s"}, "ops: the answer is 302: no_service (secret)"},
		"nobody there":       {0, nil, errors.New("dial " + slackURL), []string{"0s", "1s", "3s", "7s", "15s"}, "ops: dial (secret)"},
		"the path in errors": {0, nil, errors.New("no /services/T000/B000/XXXXsecretXXXX"), []string{"0s", "1s", "3s", "7s", "15s"}, "ops: no (secret)"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := func(*http.Request) (int, http.Header, error) { return c.code, c.header, c.err }
			run(t, map[string]schema.Notification{"ops": slack()}, answer, func(w *world) {
				w.tell("web", "web is active")
				w.after(20 * time.Minute)
				w.want(c.posts...)
				if len(w.errs) != 1 || w.errs[0] != c.report {
					t.Errorf("%q", w.errs)
				}
			})
		})
	}
}

func TestSecretsThatAreMissingAreNamed(t *testing.T) {
	a, b := slack(), webhook("https://a.example.com/")
	a.URLFrom, b.Secret = &schema.SecretRef{Env: "NO_URL"}, &schema.SecretRef{Env: "NO_KEY"}
	run(t, map[string]schema.Notification{"a": a, "b": b}, nil, func(w *world) {
		w.tell("web", "x")
		w.want()
		got := strings.Join(w.errs, "\n")
		if !strings.Contains(got, "the URL of a: environment variable NO_URL is not set") || !strings.Contains(got, "the secret of b: environment variable NO_KEY is not set") {
			t.Error(got)
		}
	})
}

func TestTheEndGivesOneLastTry(t *testing.T) {
	broken := func(*http.Request) (int, http.Header, error) { return 503, http.Header{"Retry-After": {"60"}}, nil }
	run(t, map[string]schema.Notification{"ops": webhook("https://a.example.com/")}, broken, func(w *world) {
		for i := range 6 {
			w.tell("web", fmt.Sprint("text", i)) // The first is under way, two wait, three are held.
		}
		w.want("0s …text0")
		w.after(time.Second)
		w.cancel()
		<-w.ended
		w.want("1s …text0", "1s …text1", "1s …text2", "1s …3 more transitions of web in 5m, the last: text5")
	})
}

func TestTheEndComesInTime(t *testing.T) {
	hangs := func(r *http.Request) (int, http.Header, error) {
		<-r.Context().Done()
		return 0, nil, r.Context().Err()
	}
	run(t, map[string]schema.Notification{"ops": webhook("https://a.example.com/")}, hangs, func(w *world) {
		for i := range 20 {
			w.tell(fmt.Sprint("router", i), "x")
		}
		began := time.Now()
		w.cancel()
		<-w.ended
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

func TestTargetsChangeWhileRunning(t *testing.T) {
	run(t, map[string]schema.Notification{"stays": webhook("https://a.example.com/stays"), "goes": webhook("https://a.example.com/goes")}, nil, func(w *world) {
		w.tell("web", "one")
		w.Configure(map[string]schema.Notification{"stays": webhook("https://a.example.com/stays"), "new": webhook("https://a.example.com/new")})
		synctest.Wait()
		w.posts = nil
		w.tell("web", "one") // The one that stays has it.
		w.want("/new …one")
	})
}
