package cfsim

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// codeDNS is the API's "DNS Validation Error".
const codeDNS = 1004

// dnsRecord is one DNS record of a zone.
type dnsRecord struct {
	entry
	rtype, name, content string
}

// recordKey is what makes two records identical.
type recordKey struct{ rtype, name, content string }

// dnsZone is the records of a zone, with what uniqueness needs to know.
type dnsZone struct {
	store[*dnsRecord]
	same  map[recordKey]*dnsRecord
	hosts map[string]hosts
}

// hosts counts the records of a name that answer for an address.
type hosts struct{ addresses, cnames int }

func newDNSZone() dnsZone {
	return dnsZone{newStore[*dnsRecord](), map[recordKey]*dnsRecord{}, map[string]hosts{}}
}

func (z *dnsZone) add(r *dnsRecord) {
	z.put(r)
	z.same[recordKey{r.rtype, r.name, r.content}] = r
	z.countHost(r, 1)
}

func (z *dnsZone) remove(r *dnsRecord) {
	z.drop(r.id)
	delete(z.same, recordKey{r.rtype, r.name, r.content})
	z.countHost(r, -1)
}

func (z *dnsZone) countHost(r *dnsRecord, by int) {
	h := z.hosts[r.name]
	switch r.rtype {
	case "A", "AAAA":
		h.addresses += by
	case "CNAME":
		h.cnames += by
	}
	if h == (hosts{}) {
		delete(z.hosts, r.name)
		return
	}
	z.hosts[r.name] = h
}

func (s *Server) serveDNS() {
	const base = "/zones/{zone}/dns_records"
	limit := 100
	if s.opt.Enterprise {
		limit = 500
	}
	s.shapes.record = record(map[string]*shape{
		"type": str().need().oneOf("A", "AAAA", "CAA", "CERT", "CNAME", "DNSKEY", "DS", "HTTPS", "LOC", "MX", "NAPTR", "NS",
			"OPENPGPKEY", "PTR", "SMIMEA", "SRV", "SSHFP", "SVCB", "TLSA", "TXT", "URI"),
		"name":     str().need().upTo(255),
		"content":  str(),
		"data":     dict(scalar()),
		"ttl":      num().between(1, 86400).fill(1.0),
		"proxied":  boolean().fill(false),
		"priority": num().between(0, 65535),
		"comment":  str().upTo(limit).orNull().fill(nothing{}),
		"tags":     list(str()).fill([]any{}),
		"settings": record(map[string]*shape{
			"ipv4_only": boolean(), "ipv6_only": boolean(), "flatten_cname": boolean(),
		}).fill(object{}),
		"private_routing": boolean(),
	})
	s.handle("GET "+base, s.listRecords, "name", "type", "content", "proxied", "match", "search", "comment", "comment.present",
		"comment.absent", "comment.exact", "comment.contains", "comment.startswith", "comment.endswith",
		"page", "per_page", "order", "direction")
	s.handle("POST "+base, s.createRecord)
	s.handle("GET "+base+"/{id}", s.withRecord(func(c *call, z *zone, r *dnsRecord) (reply, error) { return one(r) }))
	s.handle("PUT "+base+"/{id}", s.withRecord(s.replaceRecord))
	s.handle("PATCH "+base+"/{id}", s.withRecord(s.updateRecord))
	s.handle("DELETE "+base+"/{id}", s.withRecord(s.deleteRecord))
	s.serveDNSBatch(base)
}

func (s *Server) withRecord(h func(*call, *zone, *dnsRecord) (reply, error)) func(*call) (reply, error) {
	return func(c *call) (reply, error) {
		z := s.zones[c.PathValue("zone")]
		r := z.dns.byID[c.id()]
		if r == nil {
			return reply{}, errNoRecord()
		}
		return h(c, z, r)
	}
}

func errNoRecord() error { return refuse(http.StatusNotFound, 81044, "Record does not exist.") }

// asDNS gives a field error the code of this family.
func asDNS(err error) error {
	if e, ok := err.(*fieldError); ok {
		return refuse(http.StatusBadRequest, codeDNS, "DNS Validation Error: %s", e)
	}
	return err
}

func badRecord(format string, args ...any) error {
	return refuse(http.StatusBadRequest, codeDNS, "DNS Validation Error: "+format, args...)
}

// finishRecord fills the defaults in and checks what one field alone cannot tell. self is the record that is being
// changed, nil for a new one.
func (s *Server) finishRecord(z *zone, o object, self *dnsRecord) error {
	s.shapes.record.complete(o)
	rtype, name := text(o, "type"), fqdn(z, text(o, "name"))
	o["name"] = name
	if err := finishContent(o); err != nil {
		return err
	}
	content, addressable := text(o, "content"), rtype == "A" || rtype == "AAAA" || rtype == "CNAME"
	ttl, lowest := o["ttl"].(float64), 60.0
	if s.opt.Enterprise {
		lowest = 30
	}
	switch {
	case len(name) > 255:
		return badRecord("name: is longer than 255 characters")
	case flag(o, "proxied") && !addressable:
		return badRecord("proxied: a %s record cannot be proxied", rtype)
	case flag(o, "proxied") && ttl != 1:
		return badRecord("ttl: must be 1 (automatic) when proxied")
	case ttl != 1 && ttl < lowest:
		return badRecord("ttl: must be 1 (automatic) or between %v and 86400", lowest)
	case rtype == "MX" && o["priority"] == nil:
		return badRecord("priority: is required for MX")
	case self != nil && self.rtype != rtype:
		return badRecord("type: cannot be changed") // UNVERIFIED; Terraform replaces the record
	}
	o["proxiable"] = addressable
	if settings := child(o, "settings"); rtype == "CNAME" && settings["flatten_cname"] == nil {
		settings["flatten_cname"] = false // recorded
	}
	if addressable && text(o, "content") == name {
		return badRecord("content: a record cannot refer to itself")
	}
	return s.unique(z, rtype, name, content, self)
}

// unique refuses an identical record (81057) and a CNAME beside another host record (81053).
func (s *Server) unique(z *zone, rtype, name, content string, self *dnsRecord) error {
	if other := z.dns.same[recordKey{rtype, name, content}]; other != nil && other != self {
		return refuse(http.StatusBadRequest, 81057, "An identical record already exists.")
	}
	h := z.dns.hosts[name]
	if self != nil && self.name == name {
		switch self.rtype {
		case "A", "AAAA":
			h.addresses--
		case "CNAME":
			h.cnames--
		}
	}
	address := rtype == "A" || rtype == "AAAA"
	if rtype == "CNAME" && h != (hosts{}) || address && h.cnames > 0 {
		return refuse(http.StatusBadRequest, 81053, "An A, AAAA, or CNAME record with that host already exists.")
	}
	return nil
}

// saveRecord checks o and makes it the record's body.
func (s *Server) saveRecord(z *zone, r *dnsRecord, o object, now string) error {
	was := r.body
	self := r
	if was == nil {
		self = nil
	}
	if err := s.finishRecord(z, o, self); err != nil {
		return err
	}
	for _, key := range []string{"comment_modified_on", "tags_modified_on"} {
		delete(o, key)
	}
	created := any(now)
	if was != nil {
		created = was["created_on"]
		z.dns.remove(r)
	}
	r.rtype, r.name, r.content = text(o, "type"), text(o, "name"), text(o, "content")
	if was == nil {
		r.id = s.newHex("record", z.name+" "+r.rtype+" "+r.name+" "+r.content)
	}
	o["id"], o["zone_id"], o["zone_name"] = r.id, z.id, z.name
	o["meta"] = object{"auto_added": false, "managed_by_apps": false, "managed_by_argo_tunnel": false} // recorded
	o["created_on"], o["modified_on"] = created, now
	keepStamp(o, was, "comment_modified_on", o["comment"] != nil, was["comment"] == o["comment"], now)
	keepStamp(o, was, "tags_modified_on", len(items(o, "tags")) > 0, slices.Equal(items(was, "tags"), items(o, "tags")), now)
	r.set(o)
	z.dns.add(r)
	return nil
}

// keepStamp tells when the comment or the tags were last changed, where there are any.
func keepStamp(o, was object, key string, present, same bool, now string) {
	if !present {
		return
	}
	o[key] = now
	if same && was[key] != nil {
		o[key] = was[key]
	}
}

func (s *Server) createRecord(c *call) (reply, error) {
	in, err := c.read(s.shapes.record, false)
	if err != nil {
		return reply{}, asDNS(err)
	}
	r := &dnsRecord{}
	if err := s.saveRecord(s.zones[c.PathValue("zone")], r, in, c.now); err != nil {
		return reply{}, err
	}
	return one(r)
}

func (s *Server) replaceRecord(c *call, z *zone, r *dnsRecord) (reply, error) {
	in, err := c.read(s.shapes.record, false)
	if err != nil {
		return reply{}, asDNS(err)
	}
	if err := s.saveRecord(z, r, in, c.now); err != nil {
		return reply{}, err
	}
	return one(r)
}

func (s *Server) updateRecord(c *call, z *zone, r *dnsRecord) (reply, error) {
	in, err := c.read(s.shapes.record, true)
	if err != nil {
		return reply{}, asDNS(err)
	}
	if err := s.saveRecord(z, r, merge(r.body, in), c.now); err != nil {
		return reply{}, err
	}
	return one(r)
}

func (s *Server) deleteRecord(c *call, z *zone, r *dnsRecord) (reply, error) {
	z.dns.remove(r)
	return body(object{"id": r.id})
}

// listRecords filters and sorts as the query asks; by type where it does not.
func (s *Server) listRecords(c *call) (reply, error) {
	p, err := c.page(100, 1, 5_000_000)
	if err != nil {
		return reply{}, err
	}
	proxied, err := c.boolean("proxied")
	if err != nil {
		return reply{}, err
	}
	var enums [3]string
	for i, e := range []struct {
		name   string
		values []string
	}{{"match", []string{"any", "all"}}, {"direction", []string{"asc", "desc"}}, {"order", []string{"type", "name", "content", "ttl", "proxied"}}} {
		if enums[i], err = c.oneOf(e.name, e.values...); err != nil {
			return reply{}, err
		}
	}
	match, direction, order := enums[0], enums[1], enums[2]

	q := c.query
	z := s.zones[c.PathValue("zone")]
	found := make([]*dnsRecord, 0, len(z.dns.order))
	for _, r := range z.dns.order {
		comment, commented := r.body["comment"].(string)
		tests := []struct{ given, matches bool }{
			{q.Has("name"), r.name == strings.ToLower(q.Get("name"))},
			{q.Has("type"), r.rtype == q.Get("type")},
			{q.Has("content"), r.content == q.Get("content")},
			{proxied != nil, proxied != nil && flag(r.body, "proxied") == *proxied},
			{q.Has("search"), strings.Contains(r.name+" "+r.content+" "+comment, q.Get("search"))},
			{q.Has("comment"), commented && comment == q.Get("comment")},
			{q.Has("comment.exact"), commented && comment == q.Get("comment.exact")},
			{q.Has("comment.present"), commented},
			{q.Has("comment.absent"), !commented},
			{q.Has("comment.contains"), commented && strings.Contains(comment, q.Get("comment.contains"))},
			{q.Has("comment.startswith"), commented && strings.HasPrefix(comment, q.Get("comment.startswith"))},
			{q.Has("comment.endswith"), commented && strings.HasSuffix(comment, q.Get("comment.endswith"))},
		}
		if matchesAll(tests, match == "any") {
			found = append(found, r)
		}
	}
	slices.SortStableFunc(found, func(a, b *dnsRecord) int {
		switch order {
		case "name":
			return strings.Compare(a.name, b.name)
		case "content":
			return strings.Compare(a.content, b.content)
		case "ttl":
			return cmp.Compare(a.body["ttl"].(float64), b.body["ttl"].(float64))
		case "proxied":
			return strings.Compare(strconv.FormatBool(flag(a.body, "proxied")), strconv.FormatBool(flag(b.body, "proxied")))
		}
		return strings.Compare(a.rtype, b.rtype)
	})
	if direction == "desc" {
		slices.Reverse(found)
	}
	return withTotal(paged(p, len(found), func(i int) []byte { return found[i].json() }))
}
