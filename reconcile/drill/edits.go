package drill

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Names of the files that a drill adds to a specification.
const (
	maintenanceFile = "drill_maintenance.cue"
	mistakeFile     = "drill_mistake.cue"
)

// largestFolder bounds what of a specification is remembered.
const largestFolder = 32 << 20

// folder is the files of a specification, by path below it; what begins with a
// dot, such as .git, is no part of it.
type folder map[string][]byte

func readFolder(dir string) (folder, error) {
	f, total := folder{}, 0
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != dir && strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		// A link to a file is what it leads to; one to a folder is left out, as it
		// is where a specification is read.
		if info, err := os.Stat(path); err != nil {
			return err
		} else if !info.Mode().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if total += len(b); total > largestFolder {
			return fmt.Errorf("%s: a specification of more than %d MiB", dir, largestFolder>>20)
		}
		rel, err := filepath.Rel(dir, path)
		f[rel] = b
		return err
	})
	return f, err
}

// write makes a directory hold what the folder has, and nothing else.
func (f folder) write(dir string) error {
	now, err := readFolder(dir)
	if err != nil {
		return err
	}
	for name := range now {
		if _, stays := f[name]; !stays {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	for name, b := range f {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// take puts a file, or a whole folder, in place of what a directory has.
func take(from, dir string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if info.IsDir() {
		f, err := readFolder(from)
		if err != nil {
			return err
		}
		return f.write(dir)
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, filepath.Base(from)), b, 0o644)
}

// replace changes the one place in a file of a directory where old stands.
func replace(dir, name, old, now string) error {
	if !filepath.IsLocal(name) {
		return fmt.Errorf("%s: want a file of the specification", name)
	}
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: the specification has no such file", name)
	} else if err != nil {
		return err
	}
	switch n := strings.Count(string(b), old); {
	case old == "" || n == 0:
		return fmt.Errorf("%s: it has no %q", name, old)
	case n > 1:
		return fmt.Errorf("%s: it has %q in %d places: give more of it", name, old, n)
	}
	return os.WriteFile(path, []byte(strings.Replace(string(b), old, now, 1)), 0o644)
}

// drain writes which hosts are in maintenance.
func drain(dir string, hosts []string) error {
	path := filepath.Join(dir, maintenanceFile)
	if len(hosts) == 0 {
		err := os.Remove(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	clause, err := packageOf(dir)
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString(clause + "\n\n")
	slices.Sort(hosts)
	for _, host := range hosts {
		fmt.Fprintf(&b, "hosts: %q: maintenance: true\n", host)
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

// drainedIn are the hosts that drain has put into maintenance.
func drainedIn(f folder) (hosts []string) {
	for line := range strings.Lines(string(f[maintenanceFile])) {
		var host string
		if n, _ := fmt.Sscanf(line, "hosts: %q: maintenance: true", &host); n == 1 {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// blunder adds a file that does not evaluate.
func blunder(dir string) error {
	clause, err := packageOf(dir)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, mistakeFile), []byte(clause+"\n\nhosts: oops: adress: \"192.0.2.1\"\n"), 0o644)
}

// packageOf is the package clause of a directory's files.
func packageOf(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if e.IsDir() || filepath.Ext(e.Name()) != ".cue" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		for line := range strings.Lines(string(b)) {
			if words := strings.Fields(line); len(words) >= 2 && words[0] == "package" {
				return "package " + words[1], nil
			}
		}
	}
	return "", fmt.Errorf("%s: none of its files says of which package it is", dir)
}
