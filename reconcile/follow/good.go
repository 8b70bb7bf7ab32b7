package follow

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/hactl/hactl/reconcile/loop"
	"github.com/hactl/hactl/schema"
)

// Good is a revision that was accepted.
type Good struct {
	Revision string `json:"revision"`
	// Origin is where it was found, free of credentials; another origin's
	// specification is not gone on with.
	Origin string `json:"origin"`
	Signer string `json:"signer,omitempty"` // who vouches for it, if that was asked
	// Committed is the committer's date; zero for a directory.
	Committed time.Time `json:"committed,omitzero"`
	Accepted  time.Time `json:"accepted"`
	// Build evaluated it: another one may fill in other defaults.
	Build string       `json:"build,omitempty"`
	Spec  *schema.Spec `json:"spec"`
}

// Store keeps the last good revision over restarts.
type Store interface {
	// Load returns nil where there is none. A *DamagedError says that there
	// was one.
	Load() (*Good, error)
	Save(*Good) error
}

// DamagedError tells of a file that was set aside because it cannot be what
// was written.
type DamagedError struct {
	Aside string // where it is now
	Err   error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("the last good specification on disk is damaged, and was set aside as %s: %v", e.Aside, e.Err)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// File is a Store in one file: a line with a SHA-256 of what follows, then a
// Good in JSON. It holds no secrets: a specification has references to them.
type File string

const fileHeader = "hactl last good specification, version 1, sha256 "

// Load reads the file. One that is damaged is renamed.
func (f File) Load() (*Good, error) {
	b, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the last good specification: %w", err)
	}
	g, err := decodeGood(b)
	if err == nil {
		return g, nil
	}
	aside := string(f) + ".damaged"
	if rename := os.Rename(string(f), aside); rename != nil {
		return nil, fmt.Errorf("the last good specification on disk is damaged (%w), and cannot be set aside: %w", err, rename)
	}
	return nil, &DamagedError{Aside: aside, Err: err}
}

func decodeGood(b []byte) (*Good, error) {
	header, content, _ := bytes.Cut(b, []byte("\n"))
	sum, ok := bytes.CutPrefix(header, []byte(fileHeader))
	if !ok {
		return nil, errors.New("it does not begin as such a file does")
	}
	if is := sha256.Sum256(content); hex.EncodeToString(is[:]) != string(sum) {
		return nil, errors.New("its checksum is another")
	}
	g := &Good{}
	// A field that a newer build wrote is left out: better than no addresses.
	if err := json.Unmarshal(content, g); err != nil {
		return nil, err
	}
	if g.Spec == nil || g.Revision == "" {
		return nil, errors.New("it holds no specification")
	}
	return g, nil
}

// Save writes the file whole or not at all, forced to the disk.
func (f File) Save(g *Good) error {
	content, err := json.Marshal(g)
	if err != nil {
		return fmt.Errorf("keep the last good specification: %w", err)
	}
	sum := sha256.Sum256(content)
	b := append([]byte(fileHeader+hex.EncodeToString(sum[:])+"\n"), content...)
	if err := os.MkdirAll(filepath.Dir(string(f)), 0o700); err != nil {
		return fmt.Errorf("keep the last good specification: %w", err)
	}
	if err := loop.ReplaceFile(string(f), b, 0o600); err != nil {
		return fmt.Errorf("keep the last good specification: %w", err)
	}
	return nil
}
