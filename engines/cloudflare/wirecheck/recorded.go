package wirecheck

import (
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// isRecorded tells whether recorded answers carry a field that the file does not declare. path has no list
// positions.
//
//	zone, DNS      result_info.total_pages
//	tunnel         token and credentials_file, when it is created
//	configuration  three fields of originRequest, at both levels
//	DNS record     its zone, when comment and tags changed, and what newer request schemas added; who
//	               manages it; the envelope of a DELETE, whose schema only has the result
//	zone           status, paused and type
func isRecorded(operation, path string) bool {
	const tunnels = "/accounts/{account_id}/cfd_tunnel"
	switch {
	case path == "result_info.total_pages":
		return strings.HasPrefix(operation, "/zones")
	case operation == tunnels:
		return path == "result.credentials_file" || path == "result.token"
	case strings.HasSuffix(operation, "/configurations"):
		at, field, _ := cutLast(path)
		return (at == "result.config.originRequest" || at == "result.config.ingress.originRequest") &&
			slices.Contains([]string{"bastionMode", "proxyAddress", "proxyPort"}, field)
	case strings.HasPrefix(operation, "/zones/{zone_id}/dns_records"):
		if path == "success" || path == "errors" || path == "messages" {
			return true
		}
		at, field, _ := cutLast(path)
		return at == "result" && slices.Contains([]string{"zone_id", "zone_name", "comment_modified_on",
			"tags_modified_on", "settings", "private_routing"}, field) ||
			at == "result.meta" && strings.HasPrefix(field, "managed_by_")
	case operation == "/zones":
		return path == "result.status" || path == "result.paused" || path == "result.type"
	}
	return false
}

func cutLast(path string) (before, after string, found bool) {
	i := strings.LastIndexByte(path, '.')
	if i < 0 {
		return "", path, false
	}
	return path[:i], path[i+1:], true
}

// mend corrects the file where it is plainly mistaken.
func mend(doc *openapi3.T) {
	// PATCH /pools clears the address for notifications; the enum holds a pair of quotes instead of an empty string.
	item := doc.Paths.Value("/accounts/{account_id}/load_balancers/pools")
	if item == nil || item.Patch == nil || item.Patch.RequestBody == nil {
		return
	}
	body := item.Patch.RequestBody.Value.Content.Get("application/json")
	if body == nil || body.Schema == nil {
		return
	}
	if email := body.Schema.Value.Properties["notification_email"]; email != nil {
		mended := *email.Value // the schema may be shared
		mended.Enum = []any{""}
		body.Schema.Value.Properties["notification_email"] = &openapi3.SchemaRef{Value: &mended}
	}
}
