package cloudflare

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

// Adopt writes the stack's marker, and nothing else, to the object with that
// id, so that it becomes the specification's object of that ID. It returns
// what was adopted. Objects without a free text are only found; the caller
// puts them into the journal.
func (e *Engine) Adopt(ctx context.Context, scope reconcile.Scope, id schema.ID, h reconcile.Handle) (schema.Object, error) {
	// Every zone is read: a record in any of them may tell whose a tunnel is.
	everywhere := scope
	everywhere.Journal.Revision, everywhere.Journal.Zones = "", nil
	live, err := e.Read(ctx, everywhere)
	if err != nil {
		return nil, err
	}
	o, err := adopted(live, scope, id, h)
	if err != nil {
		return nil, wrap("adopt", id, err)
	}
	if !schema.Marked(id.Kind) {
		return o, nil
	}
	text, err := schema.Mark(freeText(o), schema.Marker{Stack: scope.Stack, ID: id})
	if err != nil {
		return nil, wrap("adopt", id, fmt.Errorf("its text %q leaves no room for the marker: shorten it first", freeText(o)))
	}
	path, err := e.collection(ctx, id.Kind, schema.ZoneOf(o))
	if err != nil {
		return nil, wrap("adopt", id, err)
	}
	body := map[string]any{"description": text}
	switch o := o.(type) {
	case schema.Network, schema.Route, schema.DNSRecord:
		body = map[string]any{"comment": text}
	case schema.Monitor:
		if o.HTTP() {
			body["expected_codes"] = o.ExpectedCodes // API: PATCH requires it.
		}
	}
	return o, wrap("adopt", id, e.client.call(ctx, http.MethodPatch, path+"/"+url.PathEscape(string(h)), body, nil))
}

// adopted finds the object and checks that it can become the one of that ID.
func adopted(live reconcile.Live, scope reconcile.Scope, id schema.ID, h reconcile.Handle) (schema.Object, error) {
	if id.Kind == schema.KindTunnelConfiguration {
		return nil, errors.New("a configuration goes with its tunnel: adopt that")
	}
	for _, u := range live.Unknown {
		if u.Covers(id) {
			return nil, u.Err
		}
	}
	for _, entry := range live.Entries {
		found := entry.Object.ID()
		if entry.Owned && found == id && entry.Handle != h {
			return nil, fmt.Errorf("%s is already %s", entry.Handle, id)
		}
	}
	for _, entry := range live.Entries {
		found := entry.Object.ID()
		if entry.Handle != h || found.Kind != id.Kind {
			continue
		}
		if entry.Stack != "" {
			return nil, fmt.Errorf("%s belongs to stack %q", h, entry.Stack)
		}
		if t, ok := entry.Object.(schema.Tunnel); ok && t.ConfigSrc == "local" {
			return nil, fmt.Errorf("%s is configured by a file on its host, which cannot be changed: make a new tunnel", h)
		}
		if entry.Owned && found != id {
			return nil, fmt.Errorf("%s is already %s", h, found)
		}
		named := id.Kind != schema.KindMonitor && id.Kind != schema.KindDNSRecord
		if named && found != id {
			return nil, fmt.Errorf("%s is named %q: give it that name in the specification", h, found.Name)
		}
		return entry.Object, nil
	}
	return nil, errors.New("there is no such object at Cloudflare: " + string(h))
}
