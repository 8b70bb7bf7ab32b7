package cloudflare

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

// creations is how often a creation is tried whose answer was lost.
const creations = 4

// resource says how an object of one kind is written.
type resource struct {
	path   string // of the collection
	body   any
	update string // method
	// complete is the body of a PUT that a creation needs besides, or nil.
	complete any
	// find looks for the object by what identifies it: after a creation
	// whose answer was lost.
	find func(context.Context) (id string, found bool, err error)
}

// Apply carries out one change.
func (e *Engine) Apply(ctx context.Context, c reconcile.Change) (reconcile.Handle, bool, error) {
	h, swapped, err := e.apply(ctx, c)
	return h, swapped, wrap(string(c.Action), c.ID, err)
}

func (e *Engine) apply(ctx context.Context, c reconcile.Change) (reconcile.Handle, bool, error) {
	if c.Action == reconcile.Delete {
		return "", false, e.delete(ctx, c)
	}
	r, err := e.resource(ctx, c)
	if err != nil {
		return "", false, err
	}
	switch {
	case c.ID.Kind == schema.KindTunnelConfiguration:
		return c.Handle, false, e.putConfiguration(ctx, c, r)
	case c.Action == reconcile.Update && r.update == "":
		return c.Handle, false, nil // Nothing about it can differ.
	case c.Action == reconcile.Update:
		return c.Handle, false, e.client.call(ctx, r.update, r.path+"/"+url.PathEscape(string(c.Handle)), r.body, nil)
	case c.Action == reconcile.Replace && c.ID.Kind == schema.KindDNSRecord:
		return e.swapRecord(ctx, c, r)
	}
	id, err := e.create(ctx, r)
	if err == nil && r.complete != nil {
		// PUT takes a field that POST does not.
		err = e.client.call(ctx, http.MethodPut, r.path+"/"+url.PathEscape(id), r.complete, nil)
	}
	return reconcile.Handle(id), false, err
}

// resource resolves an object's references and puts it into wire form.
func (e *Engine) resource(ctx context.Context, c reconcile.Change) (resource, error) {
	h := &handles{resolve: c.Resolve}
	r, err := e.wire(ctx, c, h)
	if err != nil {
		return resource{}, err
	}
	if len(h.missing) > 0 {
		return resource{}, &reconcile.Error{Op: string(c.Action), ID: c.ID, Class: reconcile.Conflict, Err: fmt.Errorf("%s does not exist", h.missing[0])}
	}
	return r, nil
}

func (e *Engine) wire(ctx context.Context, c reconcile.Change, h *handles) (resource, error) {
	if o, ok := c.Object.(schema.TunnelConfiguration); ok {
		path := e.client.inAccount("/cfd_tunnel/%s/configurations", h.of(schema.KindTunnel, o.Tunnel))
		return resource{path: path, body: configurationWire(o)}, nil
	}
	path, err := e.collection(ctx, c.ID.Kind, schema.ZoneOf(c.Object))
	if err != nil {
		return resource{}, err
	}
	r := resource{path: path, update: http.MethodPut}
	text := ""
	if schema.Marked(c.ID.Kind) {
		if text, err = schema.Mark(freeText(c.Object), schema.Marker{Stack: c.Stack, ID: c.ID, Protected: c.Object.Protected()}); err != nil {
			return resource{}, err
		}
	}
	switch o := c.Object.(type) {
	case schema.Network:
		r.body, r.update = networkWire(o, text), http.MethodPatch
		r.find = found(e.client, path+"?is_deleted=false", 0, func(w wireNetwork) (string, bool) {
			return w.ID, w.Name == o.Name && w.Comment == text
		})
	case schema.Route:
		body := routeWire(o, text, h)
		r.body, r.update = body, http.MethodPatch
		r.find = found(e.client, path+"?is_deleted=false", routesPerPage, func(w wireRoute) (string, bool) {
			return w.ID, w.Network == body.Network && w.Comment == text && w.TunnelID == body.TunnelID
		})
	case schema.Tunnel:
		r.update = ""
		r.body, err = e.tunnelBody(o)
		r.find = found(e.client, path+"?is_deleted=false&name="+url.QueryEscape(o.Name), tunnelsPerPage, func(w wireTunnel) (string, bool) {
			return w.ID, w.Name == o.Name && w.DeletedAt == nil
		})
	case schema.Monitor:
		r.body = monitorWire(o, text)
		r.find = found(e.client, path, 0, func(w wireMonitor) (string, bool) { return w.ID, w.Description == text })
	case schema.Pool:
		w := poolWire(o, text, h)
		r.body = w
		if c.Action == reconcile.Create && w.HealthSources != nil {
			r.complete = w
			w.HealthSources = nil
			r.body = w
		}
		r.find = found(e.client, path, 0, func(w wirePool) (string, bool) {
			return w.ID, w.Name == o.Name && w.Description == text
		})
	case schema.PrivateLoadBalancer:
		r.body = balancerWire(o.Balancing, o.Name, text, h)
		r.find = found(e.client, path, 0, func(w wireBalancer) (string, bool) { return w.ID, w.Description == text })
	case schema.LoadBalancer:
		r.body = balancerWire(o.Balancing, o.Hostname, text, h)
		r.find = found(e.client, path, 0, func(w wireBalancer) (string, bool) { return w.ID, w.Description == text })
	case schema.DNSRecord:
		r.body = recordWire(o, text, h)
		r.find = found(e.client, path+"?name="+url.QueryEscape(o.Name), recordsPerPage, func(w wireRecord) (string, bool) {
			return w.ID, w.Type == o.Type && value(w.Comment) == text
		})
	}
	return r, err
}

// freeText is the text that an object's marker is appended to.
func freeText(o schema.Object) string {
	switch o := o.(type) {
	case schema.Network:
		return o.Comment
	case schema.Route:
		return o.Comment
	case schema.Monitor:
		return o.Description
	case schema.Pool:
		return o.Description
	case schema.LoadBalancer:
		return o.Description
	case schema.PrivateLoadBalancer:
		return o.Description
	case schema.DNSRecord:
		return o.Comment
	}
	return ""
}

// tunnelBody reads the tunnel's secret, if it has one, for the creation.
func (e *Engine) tunnelBody(o schema.Tunnel) (wireTunnel, error) {
	body := wireTunnel{Name: o.Name, ConfigSrc: "cloudflare"}
	if o.TunnelSecret == nil {
		return body, nil
	}
	secret, err := e.secret(*o.TunnelSecret)
	if err != nil {
		return body, fmt.Errorf("tunnelSecret: %w", err)
	}
	if raw, err := base64.StdEncoding.DecodeString(secret); err != nil || len(raw) < 32 {
		return body, errors.New("tunnelSecret: want 32 bytes or more, in base64")
	}
	body.TunnelSecret = secret
	return body, nil
}

// found makes a look-up in a list.
func found[T any](c *client, target string, size int, match func(T) (string, bool)) func(context.Context) (string, bool, error) {
	return func(ctx context.Context) (string, bool, error) {
		path, raw, _ := strings.Cut(target, "?")
		query, err := url.ParseQuery(raw)
		if err != nil {
			return "", false, err
		}
		items, err := list[T](ctx, c, path, query, size)
		if err != nil {
			return "", false, err
		}
		for _, item := range items {
			if id, ok := match(item); ok {
				return id, true, nil
			}
		}
		return "", false, nil
	}
}

// create sends a POST. When its answer is lost, the object is looked for
// before the POST is sent again: it must not come to exist twice.
func (e *Engine) create(ctx context.Context, r resource) (string, error) {
	backoff := e.client.backoff
	for attempt := 1; ; attempt++ {
		id, err := e.post(ctx, r)
		if err == nil || !isAmbiguous(err) {
			return id, err
		}
		if sleep(ctx, backoff) != nil {
			return "", err
		}
		backoff *= 2
		id, there, findErr := r.find(ctx)
		switch {
		case there:
			return id, nil
		case findErr != nil || attempt == creations:
			return "", err
		}
	}
}

func (e *Engine) post(ctx context.Context, r resource) (string, error) {
	var made struct {
		ID string `json:"id"`
	}
	if err := e.client.call(ctx, http.MethodPost, r.path, r.body, &made); err != nil {
		return "", err
	}
	if made.ID == "" {
		return "", &apiError{message: "the answer has no id", ambiguous: true}
	}
	return made.ID, nil
}

func (e *Engine) putConfiguration(ctx context.Context, c reconcile.Change, r resource) error {
	return e.client.call(ctx, http.MethodPut, r.path, r.body, nil)
}

// swapRecord deletes a DNS record and creates another in one request, so that
// the name is never without (API: dns_records/batch, whose parts are carried
// out in order and all or none). In another zone it only creates.
func (e *Engine) swapRecord(ctx context.Context, c reconcile.Change, r resource) (reconcile.Handle, bool, error) {
	if schema.ZoneOf(c.Before) != schema.ZoneOf(c.Object) {
		id, err := e.create(ctx, r)
		return reconcile.Handle(id), false, err
	}
	type reference struct {
		ID string `json:"id"`
	}
	batch := struct {
		Deletes []reference `json:"deletes"`
		Posts   []any       `json:"posts"`
	}{[]reference{{string(c.Handle)}}, []any{r.body}}
	var answer struct {
		Posts []reference `json:"posts"`
	}
	err := e.client.call(ctx, http.MethodPost, r.path+"/batch", batch, &answer)
	if err == nil && len(answer.Posts) == 1 {
		return reconcile.Handle(answer.Posts[0].ID), true, nil
	}
	if err == nil || isAmbiguous(err) {
		if id, there, findErr := r.find(ctx); findErr == nil && there && id != string(c.Handle) {
			return reconcile.Handle(id), true, nil
		}
	}
	return "", true, err
}

// delete ends an object. One that is gone already is no error.
func (e *Engine) delete(ctx context.Context, c reconcile.Change) error {
	path, err := e.collection(ctx, c.ID.Kind, schema.ZoneOf(c.Before))
	if err != nil {
		return err
	}
	err = e.client.call(ctx, http.MethodDelete, path+"/"+url.PathEscape(string(c.Handle)), nil, nil)
	if isStatus(err, http.StatusNotFound) {
		return nil
	}
	return err
}

// collection is the path of the list that an object stands in.
func (e *Engine) collection(ctx context.Context, kind schema.Kind, zone string) (string, error) {
	switch kind {
	case schema.KindNetwork:
		return e.client.inAccount("/teamnet/virtual_networks"), nil
	case schema.KindTunnel:
		return e.client.inAccount("/cfd_tunnel"), nil
	case schema.KindRoute:
		return e.client.inAccount("/teamnet/routes"), nil
	case schema.KindMonitor:
		return e.client.inAccount("/load_balancers/monitors"), nil
	case schema.KindPool:
		return e.client.inAccount("/load_balancers/pools"), nil
	case schema.KindPrivateLoadBalancer:
		return e.client.inAccount("/load_balancers"), nil
	case schema.KindLoadBalancer:
		id, err := e.zone(ctx, zone)
		return "/zones/" + id + "/load_balancers", err
	case schema.KindDNSRecord:
		id, err := e.zone(ctx, zone)
		return "/zones/" + id + "/dns_records", err
	}
	return "", fmt.Errorf("%s is no kind of this engine", kind)
}
