package cfsim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// serveDNSBatch: the batch endpoint is documented but absent from the OpenAPI file.
func (s *Server) serveDNSBatch(base string) {
	patch := record(maps.Clone(s.shapes.record.props))
	patch.props["id"] = str().need().that(isHexID)
	s.shapes.batch = record(map[string]*shape{
		"deletes": list(record(map[string]*shape{"id": str().need().that(isHexID)})),
		"patches": list(optional(patch, "id")),
		"puts":    list(patch),
		"posts":   list(s.shapes.record),
	})
	s.handle("POST "+base+"/batch", s.batchRecords)
}

// optional copies an object's shape with every field but one optional.
func optional(of *shape, except string) *shape {
	out := record(map[string]*shape{})
	out.keepNull = true
	for key, field := range of.props {
		f := *field
		f.required = key == except
		out.props[key] = &f
	}
	return out
}

// batchRecords does deletes, patches, puts and posts, in that order, and all of them or nothing.
func (s *Server) batchRecords(c *call) (reply, error) {
	in, err := c.read(s.shapes.batch, false)
	if err != nil {
		return reply{}, asDNS(err)
	}
	z := s.zones[c.PathValue("zone")]
	undo := z.dns.snapshot()
	made := maps.Clone(s.made)
	done, err := s.runBatch(z, in, c.now)
	if err != nil {
		z.dns, s.made = undo, made
		return reply{}, err
	}
	return body(done)
}

// snapshot copies the records, since a failing batch may have changed some of them.
func (z *dnsZone) snapshot() dnsZone {
	out := newDNSZone()
	out.order = make([]*dnsRecord, len(z.order))
	for i, r := range z.order {
		was := *r // bodies are replaced, never changed
		out.order[i] = &was
		out.byID[r.id] = &was
		out.same[recordKey{r.rtype, r.name, r.content}] = &was
	}
	out.hosts = maps.Clone(z.hosts)
	return out
}

func (s *Server) runBatch(z *zone, in object, now string) (object, error) {
	done := object{"deletes": []any{}, "patches": []any{}, "puts": []any{}, "posts": []any{}}
	for _, verb := range []string{"deletes", "patches", "puts", "posts"} {
		for i, item := range items(in, verb) {
			o := item.(object)
			r := &dnsRecord{}
			if verb != "posts" {
				if r = z.dns.byID[text(o, "id")]; r == nil {
					return nil, inBatch(verb, i, errNoRecord())
				}
			}
			var err error
			switch verb {
			case "deletes":
				z.dns.remove(r)
			case "patches":
				err = s.saveRecord(z, r, merge(r.body, o), now)
			default:
				delete(o, "id")
				err = s.saveRecord(z, r, o, now)
			}
			if err != nil {
				return nil, inBatch(verb, i, err)
			}
			done[verb] = append(slices.Clip(done[verb].([]any)), any(r.body))
		}
	}
	return done, nil
}

// inBatch says which part of the batch was refused.
func inBatch(verb string, i int, err error) error {
	var e *refusal
	if errors.As(err, &e) {
		return &refusal{e.status, e.code, fmt.Sprintf("%s[%d]: %s", verb, i, e.message)}
	}
	return err
}
