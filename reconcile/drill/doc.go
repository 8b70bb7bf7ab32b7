// Package drill plays failures and changes on hosts that run a specification,
// and holds what comes of them against what the specification says must come
// of them: who is Active, how soon, and how long nobody answers.
//
// It knows neither namespaces nor Cloudflare: a Lab has the hosts. A Script says
// what is played; Standard is one for any specification.
package drill
