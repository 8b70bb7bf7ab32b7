package gitsig

import (
	"strings"
	"testing"
)

const (
	tree   = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
	head   = "tree " + tree + "\nparent " + tree + "\nauthor A <a> 1 +0000\ncommitter C <c> 1 +0000\n"
	folded = "gpgsig " + sshBegin + "\n AAAA\n -----END SSH SIGNATURE-----\n"
	other  = "gpgsig-sha256 -----BEGIN PGP SIGNATURE-----\n \n BBBB\n -----END PGP SIGNATURE-----\n"
	unfold = sshBegin + "\nAAAA\n-----END SSH SIGNATURE-----\n"
)

func TestCommitsComeApart(t *testing.T) {
	for name, tt := range map[string]struct{ object, payload, signature string }{
		"unsigned":           {head + "\nmessage\n", head + "\nmessage\n", ""},
		"signed":             {head + folded + "\nmessage\n", head + "\nmessage\n", unfold},
		"in both forms":      {head + folded + other + "encoding X\n\nm", head + "encoding X\n\nm", unfold},
		"in the other form":  {head + other + "\nm", head + "\nm", ""},
		"no message":         {head + folded, head, unfold},
		"a merged tag's":     {head + "mergetag object x\n gpgsig y\n " + sshBegin + "\n" + folded + "\nm", head + "mergetag object x\n gpgsig y\n " + sshBegin + "\n\nm", unfold},
		"one in the message": {head + "\n" + folded, head + "\n" + folded, ""},
		"no end of the line": {head + "gpgsig x", head, "x"},
	} {
		c, err := ParseCommit([]byte(tt.object))
		if err != nil || c.Tree != tree || string(c.Payload) != tt.payload || c.Signature != tt.signature {
			t.Errorf("%s: %v\n%s\n%s", name, err, c.Payload, c.Signature)
		}
	}
	for object, words := range map[string]string{
		"":                                    "tree",
		"\n" + head:                           "tree",
		"parent " + tree + "\n" + head:        "tree",
		"tree 4b825dc\n\n":                    "tree",
		"tree " + strings.ToUpper(tree):       "tree",
		head + "tree " + tree + "\n\nm":       "two trees",
		head + folded + folded + "\nm":        "two signatures",
		head + folded + other + folded + "\n": "two signatures",
	} {
		if _, err := ParseCommit([]byte(object)); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v", object, err)
		}
	}
}

func TestTagsComeApart(t *testing.T) {
	const start = "object " + tree + "\ntype commit\ntag v1\ntagger T <t> 1 +0000\n\nnotes\n"
	for name, tt := range map[string]struct{ object, payload, signature string }{
		"unsigned":          {start, start, ""},
		"signed":            {start + unfold, start, unfold},
		"one in the notes":  {start + "  " + unfold + unfold, start + "  " + unfold, unfold},
		"two":               {start + unfold + unfold, start + unfold, unfold},
		"in the other form": {strings.Replace(start, "\n\n", "\n"+other+"\n", 1) + unfold, start, unfold},
	} {
		tag, err := ParseTag([]byte(tt.object))
		if err != nil || tag.Object != tree || tag.Type != "commit" || tag.Name != "v1" || string(tag.Payload) != tt.payload || tag.Signature != tt.signature {
			t.Errorf("%s: %+v, %v", name, tag, err)
		}
	}
	for _, object := range []string{
		"", unfold, "object " + tree + "\ntype commit\n", "type commit\nobject " + tree + "\ntag v1\n\n",
		"object x\ntype commit\ntag v1\n\n", strings.Replace(start, "tag v1", "tag", 1), strings.Replace(start, "type", "typ", 1),
	} {
		if tag, err := ParseTag([]byte(object)); err == nil {
			t.Errorf("%q: %+v", object, tag)
		}
	}
}

// FuzzObjects holds the parts to the whole: what a signature does not cover is
// the signature.
func FuzzObjects(f *testing.F) {
	f.Add([]byte(head + folded + other + "\nm"))
	f.Add([]byte("object " + tree + "\ntype commit\ntag v1\n\nnotes\n" + unfold))
	f.Fuzz(func(t *testing.T, object []byte) {
		if c, err := ParseCommit(object); err == nil && c.Signature == "" && !strings.Contains(string(object), "gpgsig") && string(c.Payload) != string(object) {
			t.Errorf("%q became %q", object, c.Payload)
		}
		if tag, err := ParseTag(object); err == nil && !strings.Contains(string(object), "gpgsig") && string(tag.Payload)+tag.Signature != string(object) {
			t.Errorf("%q became %q and %q", object, tag.Payload, tag.Signature)
		}
	})
}
