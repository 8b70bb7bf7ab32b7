package source

import (
	"context"
	"io/fs"
)

// Made is a candidate of another kind of source than this package's: its
// revision, commit and ancestors are what the caller says, its files are given.
// It carries no signature, so that Verified refuses it.
func Made(c Candidate, files fs.FS, descends func(ctx context.Context, from string) (bool, error)) *Candidate {
	c.descends = descends
	c.open = func() (*Tree, error) {
		return &Tree{Revision: c.Revision, Origin: c.Origin, FS: files, Dir: "."}, nil
	}
	return &c
}
