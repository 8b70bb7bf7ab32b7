package source

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	settleTime = 250 * time.Millisecond // without a further change
	settleMost = 2 * time.Second        // however many there are
	rescanTime = 30 * time.Second       // for what no notification tells
	lockRetry  = 250 * time.Millisecond
)

// Watch sends when the directory may have changed, some time after the last of
// a series of changes, and every half minute, until ctx ends. What has become
// of it is for Fetch to say. Notifications are all it needs of the files: one
// that cannot be had costs the half minute.
//
// It watches folders, since a file that is replaced by another takes its watch
// with it, and the parents of symlinks in the way there, whose target can be
// swapped.
func (d *Dir) Watch(ctx context.Context) <-chan struct{} {
	changes := make(chan struct{}, 1)
	w, err := fsnotify.NewWatcher()
	if err == nil {
		d.arm(w)
	}
	go func() {
		defer close(changes)
		if err != nil {
			every(ctx, changes)
			return
		}
		defer w.Close()
		d.follow(ctx, w, changes)
	}()
	return changes
}

func send(changes chan<- struct{}) {
	select {
	case changes <- struct{}{}:
	default:
	}
}

func every(ctx context.Context, changes chan<- struct{}) {
	tick := time.NewTicker(rescanTime)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			send(changes)
		case <-ctx.Done():
			return
		}
	}
}

func (d *Dir) follow(ctx context.Context, w *fsnotify.Watcher, changes chan<- struct{}) {
	tick := time.NewTicker(rescanTime)
	defer tick.Stop()
	quiet := time.NewTimer(0)
	<-quiet.C
	var began time.Time // of a series of changes
	stir := func() {
		now := time.Now()
		if began.IsZero() {
			began = now
		}
		quiet.Reset(min(settleTime, max(began.Add(settleMost).Sub(now), 0)))
	}
	for {
		select {
		case e, ok := <-w.Events:
			if !ok {
				return
			}
			if noise(e) {
				continue
			}
			if e.Has(fsnotify.Create) {
				// A new folder may have been filled before it is watched.
				d.arm(w)
			}
			stir()
		case err, ok := <-w.Errors:
			if !ok {
				return
			}
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				d.arm(w)
			}
			stir()
		case <-quiet.C:
			if d.locked() {
				quiet.Reset(lockRetry)
				continue
			}
			began = time.Time{}
			d.arm(w)
			send(changes)
		case <-tick.C:
			d.arm(w)
			send(changes)
		case <-ctx.Done():
			return
		}
	}
}

// arm watches every folder there is now. To add one that is watched costs
// nothing, and makes good for one that was removed and made again.
func (d *Dir) arm(w *fsnotify.Watcher) {
	for _, dir := range onTheWay(d.typed) {
		_ = w.Add(dir)
	}
	place, err := find(d.typed)
	if err != nil {
		return
	}
	n := 0
	_ = filepath.WalkDir(place.root, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			if e != nil && e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !e.IsDir() {
			return nil
		}
		rel, err := filepath.Rel(place.root, p)
		if err != nil || rel != "." && leftOut(filepath.ToSlash(rel), place.dir) {
			return fs.SkipDir
		}
		if n++; n > d.lim.visited {
			return fs.SkipAll
		}
		_ = w.Add(p)
		return nil
	})
}

// onTheWay lists the folders that hold the directory itself and the symlinks
// by which it is reached.
func onTheWay(typed string) []string {
	abs, err := filepath.Abs(typed)
	if err != nil {
		return nil
	}
	folders := []string{filepath.Dir(abs)}
	for p := abs; p != filepath.Dir(p); p = filepath.Dir(p) {
		if info, err := os.Lstat(p); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			folders = append(folders, filepath.Dir(p))
			if target, err := os.Readlink(p); err == nil {
				if !filepath.IsAbs(target) {
					target = filepath.Join(filepath.Dir(p), target)
				}
				folders = append(folders, filepath.Dir(target))
			}
		}
	}
	return folders
}

// noise is what editors and git write beside the files.
func noise(e fsnotify.Event) bool {
	name := filepath.Base(e.Name)
	return e.Op == fsnotify.Chmod || name == ".git" || strings.HasSuffix(name, "~") || strings.HasSuffix(name, ".swp") ||
		strings.HasSuffix(name, ".swx") || strings.HasPrefix(name, ".#") || name == "4913"
}

// locked reports whether git is at work on the files.
func (d *Dir) locked() bool {
	place, err := find(d.typed)
	if err != nil {
		return false
	}
	for dir := place.root; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(filepath.Join(dir, ".git", "index.lock"))
		if err == nil {
			// One that was left by a crash must not stop us forever.
			return time.Since(info.ModTime()) < time.Minute
		}
		if dir == filepath.Dir(dir) {
			return false
		}
	}
}
