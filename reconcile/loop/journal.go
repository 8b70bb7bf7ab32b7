package loop

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

// Store keeps the journal of each stack.
type Store interface {
	// Load returns the stack's journal, an empty one where there is none.
	Load(stack string) (reconcile.Journal, error)
	Save(stack string, j reconcile.Journal) error
}

// Directory is a Store in a folder: one file for each account and stack.
type Directory struct {
	Path    string
	Account string
}

func (d Directory) file(stack string) string {
	return filepath.Join(d.Path, d.Account, stack+".json")
}

// Load reads the journal. A damaged file is an error that says what to do: to
// go on without it would disown every tunnel.
func (d Directory) Load(stack string) (reconcile.Journal, error) {
	var j reconcile.Journal
	b, err := os.ReadFile(d.file(stack))
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &j)
	}
	if err != nil {
		return reconcile.Journal{}, fmt.Errorf("read the journal %s: %w; move it away to go on: tunnels that nothing of this stack leads to then need hactl adopt", d.file(stack), err)
	}
	return j, nil
}

// Save writes the journal: to a new file, then in place of the old one, so
// that a crash leaves one of the two.
func (d Directory) Save(stack string, j reconcile.Journal) error {
	slices.SortFunc(j.Protected, schema.ID.Compare)
	slices.SortFunc(j.Pending, schema.ID.Compare)
	j.Pending = slices.Compact(j.Pending)
	b, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	if err := replaceFile(d.file(stack), append(b, '\n')); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return nil
}

func replaceFile(name string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// zoneOf is the zone that an object lies in, "" for what lies in none.
func zoneOf(o schema.Object) string {
	switch o := o.(type) {
	case schema.LoadBalancer:
		return o.Zone
	case schema.DNSRecord:
		return o.Zone
	}
	return ""
}

func sortedStrings(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }
