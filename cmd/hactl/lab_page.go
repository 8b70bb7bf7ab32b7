package main

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hactl/hactl/reconcile/drill"
	"github.com/hactl/hactl/reconcile/status"
)

// pages are the lab's: the page over all of its hosts, and below /host/NAME/
// what the agent of each would show at its --listen.
func (l *lab) pages(recent *status.Recent) http.Handler {
	page := &status.Page{Title: "A lab of hactl", Spec: l.running, Recent: recent, Hosts: l.pageHosts}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", page)
	mux.HandleFunc("GET /host/{name}/{rest...}", func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		if !slices.Contains(l.hosts(nil), name) {
			http.NotFound(w, r)
			return
		}
		l.agent(name).ServeHTTP(w, r)
	})
	return status.OnlyHere(mux)
}

// agent passes requests on to the agent of a host.
func (l *lab) agent(name string) http.Handler {
	socket := agentSocket(filepath.Join(labHost(l.dir, name), "run"))
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "agent"})
			r.Out.URL.Path = "/" + r.In.PathValue("rest")
			r.Out.URL.RawPath = ""
		},
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		}},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			http.Error(w, "the agent of "+name+" does not answer", http.StatusBadGateway)
		},
	}
}

var (
	errNoAnswer = errors.New("its agent does not answer")
	errAway     = errors.New("it has no power, or no cable")
)

// pageHosts are the hosts as the page shows them.
func (l *lab) pageHosts(ctx context.Context) []status.Host {
	reports := l.reports(ctx)
	var hosts []status.Host
	for _, name := range l.hosts(nil) {
		a := answer{host: name, report: reports[name]}
		switch {
		case l.isAway(name):
			a.err = errAway
		case a.report == nil:
			a.err = errNoAnswer
		}
		h := pageHost(a)
		h.Off = errors.Is(a.err, errAway)
		h.Link = "host/" + url.PathEscape(name) + "/"
		hosts = append(hosts, h)
	}
	return hosts
}

// line is a step of a drill among what happened last.
func line(o *drill.Outcome) status.Line {
	words := []string{cmp.Or(strings.Join(slices.Concat(o.Deviations, o.Times), "; "), "as predicted")}
	for _, r := range o.Routers {
		words = append(words, r.Router+" is with "+cmp.Or(strings.Join(r.Now, " and "), "nobody"))
	}
	return status.Line{Time: o.At, What: o.Step.String(), Text: strings.Join(words, "; ")}
}
