package source

import (
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
)

// target is what a ref resolved to.
type target struct {
	ref    string        // in full; empty for a pinned SHA
	want   plumbing.Hash // the object to ask for: a commit or an annotated tag
	commit plumbing.Hash // the commit, if the listing told; else zero
}

// resolve finds ref in a listing. For a plain name a branch wins, then a tag,
// then anything below refs/: what `git clone --branch` does, and then the order
// of gitrevisions(7).
func resolve(adv *packp.AdvRefs, ref string) (target, error) {
	if fullSHA.MatchString(ref) {
		return resolveSHA(adv, plumbing.NewHash(ref))
	}
	if ref == "" || ref == "HEAD" || ref == "@" {
		return resolveHead(adv)
	}
	candidates := []string{"refs/heads/" + ref, "refs/tags/" + ref, "refs/" + ref}
	if strings.HasPrefix(ref, "refs/") {
		candidates = []string{ref, "refs/heads/" + ref, "refs/tags/" + ref}
	}
	for _, name := range candidates {
		if t, ok := lookup(adv, name); ok {
			return t, nil
		}
	}
	if isHex(ref) && len(ref) >= 4 {
		return target{}, invalid("there is no branch or tag %s, and an abbreviated SHA cannot be fetched: give all 40 digits (git rev-parse %s)", ref, ref)
	}
	near := nearest(adv, ref)
	if len(near) == 0 {
		return target{}, notFound("the repository has no branch or tag at all")
	}
	return target{}, notFound("there is no branch or tag %s (deleted or renamed?); the nearest are %s", ref, list(near, 5))
}

func lookup(adv *packp.AdvRefs, name string) (target, bool) {
	h, ok := adv.References[name]
	if !ok {
		return target{}, false
	}
	t := target{ref: name, want: h, commit: h}
	if peeled, annotated := adv.Peeled[name]; annotated {
		t.commit = peeled
	}
	return t, true
}

func resolveHead(adv *packp.AdvRefs) (target, error) {
	name := ""
	for _, pair := range adv.Capabilities.Get(capability.SymRef) {
		if from, to, ok := strings.Cut(pair, ":"); ok && from == "HEAD" {
			name = to
		}
	}
	if t, ok := lookup(adv, name); ok {
		return t, nil
	}
	if adv.Head != nil {
		return target{ref: "HEAD", want: *adv.Head, commit: *adv.Head}, nil
	}
	return target{}, notFound("the remote's HEAD names no branch that exists: choose a ref, such as %s", list(nearest(adv, "main"), 5))
}

// resolveSHA finds a way to ask for one commit. Servers hand out the tips of
// refs always, and others only if they are configured to.
func resolveSHA(adv *packp.AdvRefs, sha plumbing.Hash) (target, error) {
	tips := []map[string]plumbing.Hash{adv.References, adv.Peeled}
	for _, refs := range tips {
		for _, name := range sorted(refs) {
			if refs[name] == sha {
				// An annotated tag's commit is not itself a tip: ask for
				// the tag, which brings it along.
				return target{want: adv.References[name], commit: sha}, nil
			}
		}
	}
	if adv.Head != nil && *adv.Head == sha {
		return target{want: sha, commit: sha}, nil
	}
	for _, c := range []capability.Capability{"allow-any-sha1-in-want", capability.AllowReachableSHA1InWant, capability.AllowTipSHA1InWant} {
		if adv.Capabilities.Supports(c) {
			return target{want: sha}, nil
		}
	}
	return target{}, notFound("%s is not the tip of a branch or tag, and the server gives out nothing else: "+
		"set uploadpack.allowReachableSHA1InWant=true on the server, or tag the commit and use the tag", sha)
}

// nearest are short names of branches and tags, the most similar to ref first.
func nearest(adv *packp.AdvRefs, ref string) []string {
	type scored struct {
		name string
		far  int
	}
	var all []scored
	for _, name := range sorted(adv.References) {
		short, branch := strings.CutPrefix(name, "refs/heads/")
		if !branch {
			var tag bool
			if short, tag = strings.CutPrefix(name, "refs/tags/"); !tag {
				continue
			}
		}
		short = clean(short)
		if len(all) < 2000 && len(short) <= 200 { // a bound on work, not on use
			all = append(all, scored{short, distance(short, clean(ref))})
		}
	}
	slices.SortStableFunc(all, func(a, b scored) int { return a.far - b.far })
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = s.name
	}
	return out
}

func sorted(refs map[string]plumbing.Hash) []string {
	names := make([]string, 0, len(refs))
	for name := range refs {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// distance is the number of edits between a and b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
