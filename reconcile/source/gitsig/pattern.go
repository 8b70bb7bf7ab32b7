package gitsig

import "strings"

// matchList is OpenSSH's match_pattern_list: one pattern must match, and none
// with "!" in front may.
func matchList(patterns, s string) bool {
	found := false
	for p := range strings.SplitSeq(patterns, ",") {
		p, not := strings.CutPrefix(p, "!")
		if match(p, s) {
			if not {
				return false
			}
			found = true
		}
	}
	return found
}

// match is OpenSSH's match_pattern: * is any text, ? any byte. It takes time in
// the product of the lengths at most.
func match(pattern, s string) bool {
	star, from := -1, 0
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			from++
			p, i = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
