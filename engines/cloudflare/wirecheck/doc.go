// Package wirecheck is a test helper: it stands between a Cloudflare client and an http.Handler that plays the API,
// and holds every request and every response against the OpenAPI file. It is called by tests only, and imports
// nothing of ours.
//
// Two checks run on each exchange: kin-openapi's (types, enums, ranges, required and read-only fields, query
// parameters), and one for fields and query parameters that the file does not declare, which kin-openapi lets pass.
// What recorded answers carry beyond the file is listed in recorded.go; a path that the file does not have is
// remembered as unchecked, not reported.
//
// It never changes an exchange, and refuses nothing: what it finds is read with Reports once the conversation is
// over. The file is not part of the repository. Where it is absent, New returns ErrNoSchema and the test says that
// the check did not run:
//
//	check, err := wirecheck.New(cfsim.New(cfsim.Options{}))
//	if errors.Is(err, wirecheck.ErrNoSchema) {
//		t.Log("openapi check not run: file absent")
//	}
package wirecheck
