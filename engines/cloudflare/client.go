package cloudflare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"time"

	cloudflare "github.com/cloudflare/cloudflare-go"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

// Options say where the API is and who asks.
type Options struct {
	Token   string
	Account string
	// BaseURL is empty for Cloudflare's own.
	BaseURL   string
	UserAgent string
	// Budget is how many requests may be sent in 5 minutes; 0 means DefaultBudget.
	Budget int
	// Backoff is the first pause before a request is repeated; 0 means 200 ms.
	// Each further pause is twice as long.
	Backoff time.Duration
	// Waiting is told before each pause; asked says that the server wants it,
	// otherwise the budget is used up.
	Waiting func(pause time.Duration, asked bool)
	// Transport sends the requests; nil for the network.
	Transport http.RoundTripper
	// Secret finds the value of a secret when it is needed.
	Secret func(schema.SecretRef) (string, error)
}

// client sends requests through cloudflare-go.
type client struct {
	api     *cloudflare.API
	budget  *budget
	account string
	backoff time.Duration
}

func newClient(o Options) (*client, error) {
	if o.Token == "" {
		return nil, errors.New("no Cloudflare API token: set CLOUDFLARE_API_TOKEN or CLOUDFLARE_API_TOKEN_FILE")
	}
	if o.Account == "" {
		return nil, errors.New("no Cloudflare account: set CLOUDFLARE_ACCOUNT_ID, or account in the specification")
	}
	if !accountID.MatchString(o.Account) {
		return nil, fmt.Errorf("%q is no Cloudflare account id: want 32 hexadecimal digits", o.Account)
	}
	quota := o.Budget
	if quota == 0 {
		quota = DefaultBudget
	}
	backoff := o.Backoff
	if backoff == 0 {
		backoff = 200 * time.Millisecond
	}
	b := &budget{now: time.Now, quota: quota, wait: o.Waiting}
	base := o.Transport
	if base == nil {
		base = &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: requestTimeout,
			MaxIdleConnsPerHost:   ConcurrentReads,
			ForceAttemptHTTP2:     true,
		}
	}
	t := &transport{
		base:    base,
		budget:  b,
		backoff: backoff,
		reads:   make(chan struct{}, ConcurrentReads),
		writes:  make(chan struct{}, ConcurrentWrites),
	}
	options := []cloudflare.Option{
		cloudflare.HTTPClient(&http.Client{Transport: t, CheckRedirect: refuseRedirect}),
		// Retries and rates are the transport's affair.
		cloudflare.UsingRetryPolicy(0, 0, 0),
		cloudflare.UsingRateLimit(1e6),
		cloudflare.UserAgent(o.UserAgent),
	}
	if o.BaseURL != "" {
		u, err := url.Parse(o.BaseURL)
		if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
			return nil, errors.New("CLOUDFLARE_BASE_URL is no http(s) URL without credentials")
		}
		if u.Scheme == "http" && !loopback(u.Hostname()) {
			return nil, fmt.Errorf("CLOUDFLARE_BASE_URL leads to %s without TLS, and would show the token on the way: use https, or an address of this machine", u.Host)
		}
		options = append(options, cloudflare.BaseURL(o.BaseURL))
	}
	api, err := cloudflare.NewWithAPIToken(o.Token, options...)
	if err != nil {
		return nil, fmt.Errorf("set up the Cloudflare client: %w", err)
	}
	return &client{api: api, budget: b, account: o.Account, backoff: backoff}, nil
}

// refuseRedirect: the API answers itself; whoever redirects would get the token.
func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

var accountID = regexp.MustCompile("^[0-9a-f]{32}$")

// inAccount is the path of an account's resource.
func (c *client) inAccount(format string, args ...any) string {
	return "/accounts/" + c.account + fmt.Sprintf(format, args...)
}

// call sends one request and decodes the result into out, unless that is nil.
func (c *client) call(ctx context.Context, method, path string, in, out any) error {
	_, err := c.page(ctx, method, path, in, out)
	return err
}

func (c *client) page(ctx context.Context, method, path string, in, out any) (*cloudflare.ResultInfo, error) {
	raw, err := c.api.Raw(ctx, method, path, in, nil)
	var failed *apiError
	switch {
	case err == nil:
	case errors.As(err, &failed):
		return nil, failed
	case errors.Is(err, reconcile.ErrInterrupted):
		return nil, reconcile.ErrInterrupted
	case ctx.Err() != nil:
		return nil, ctx.Err()
	default:
		return nil, err
	}
	if !raw.Success {
		message := "the API says it did not succeed, and not why"
		if len(raw.Errors) > 0 {
			message = raw.Errors[0].Message
		}
		return nil, &apiError{status: http.StatusBadRequest, message: message}
	}
	if out == nil {
		return raw.ResultInfo, nil
	}
	if err := json.Unmarshal(raw.Result, out); err != nil {
		return nil, &apiError{message: "the answer makes no sense: " + err.Error(), ambiguous: true}
	}
	return raw.ResultInfo, nil
}

// list returns every object of a list, page by page; the pages after the
// first are fetched at once. size is the page size to ask for, 0 for lists
// without pages.
func list[T any](ctx context.Context, c *client, path string, query url.Values, size int) ([]T, error) {
	fetch := func(page int) ([]T, *cloudflare.ResultInfo, error) {
		q := url.Values{}
		for k, v := range query {
			q[k] = v
		}
		if size > 0 {
			q.Set("page", strconv.Itoa(page))
			q.Set("per_page", strconv.Itoa(size))
		}
		target := path
		if len(q) > 0 {
			target += "?" + q.Encode()
		}
		var items []T
		info, err := c.page(ctx, http.MethodGet, target, nil, &items)
		return items, info, err
	}
	items, info, err := fetch(1)
	if err != nil || size == 0 || info == nil {
		return items, err
	}
	pages := info.TotalPages
	if pages == 0 && info.PerPage > 0 {
		pages = (info.Total + info.PerPage - 1) / info.PerPage
	}
	if pages <= 1 {
		return items, nil
	}
	rest := make([][]T, pages-1)
	err = parallel(len(rest), func(i int) (err error) {
		rest[i], _, err = fetch(i + 2)
		return err
	})
	for _, page := range rest {
		items = append(items, page...)
	}
	if err == nil && len(items) < info.Total {
		// What is missing would be taken for absent, and made again.
		err = &apiError{status: http.StatusServiceUnavailable, message: fmt.Sprintf("the list has %d of %d objects: it changed while it was read", len(items), info.Total)}
	}
	return items, err
}

// parallel runs n functions at once and returns their first error. The
// transport bounds how many requests are really under way.
func parallel(n int, f func(i int) error) error {
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- f(i) }()
	}
	var first error
	for range n {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}

// wrap classifies an error once and for all.
func wrap(op string, id schema.ID, err error) error {
	if err == nil {
		return nil
	}
	var already *reconcile.Error
	if errors.As(err, &already) {
		return err
	}
	class := reconcile.Internal
	var failed *apiError
	if errors.As(err, &failed) {
		class = failed.class()
	} else if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		class = reconcile.Unavailable
	}
	return &reconcile.Error{Op: op, ID: id, Class: class, Err: err}
}
