package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// names is where ip-netns(8) looks for namespaces.
const names = "/var/run/netns"

// errGone is what a namespace says that is no more.
var errGone = errors.New("it is gone")

// nsID tells a namespace from all others while somebody holds it.
type nsID struct{ dev, ino uint64 }

// space is a network namespace, and a goroutine locked to a thread in it.
type space struct {
	name  string
	id    nsID
	file  *os.File
	nl    *netlink.Handle
	calls chan func()
	quit  chan struct{}
	ended chan struct{}
}

// newSpace makes a namespace, with lo up. settings are values below
// /proc/sys/net, in pairs; what this kernel has not is left out.
func newSpace(name string, settings ...string) (*space, error) {
	if err := shareNames(); err != nil {
		return nil, err
	}
	s := &space{name: name, calls: make(chan func()), quit: make(chan struct{}), ended: make(chan struct{})}
	made := make(chan error)
	onThread(func() {
		defer close(s.ended)
		err := s.make()
		if err == nil {
			err = s.set(settings...)
		}
		made <- err
		if err != nil {
			return
		}
		for {
			select {
			case f := <-s.calls:
				f()
			case <-s.quit:
				return
			}
		}
	})
	if err := <-made; err != nil {
		return nil, fmt.Errorf("namespace %s: %w", name, errors.Join(err, s.close()))
	}
	return s, nil
}

// onThread calls a function on a thread that ends with it. It is never the
// process's first: that one stays, and /proc shows its namespace as the
// process's.
func onThread(f func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		locked := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(locked)
			f()
		}()
		<-locked
		runtime.UnlockOSThread()
	}()
}

// shareNames makes the folder of names as ip-netns(8) does: shared, so that
// what is removed here is gone in every mount namespace.
func shareNames() error {
	if err := os.MkdirAll(names, 0o755); err != nil {
		return err
	}
	dir, err := os.Open(names)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return os.NewSyscallError("flock "+names, err)
	}
	err = unix.Mount("", names, "none", unix.MS_SHARED|unix.MS_REC, "")
	if errors.Is(err, unix.EINVAL) { // it is no mount yet
		if err = unix.Mount(names, names, "none", unix.MS_BIND|unix.MS_REC, ""); err == nil {
			err = unix.Mount("", names, "none", unix.MS_SHARED|unix.MS_REC, "")
		}
	}
	return os.NewSyscallError("mount "+names, err)
}

// make leads its thread into a new namespace and names it.
func (s *space) make() error {
	path := filepath.Join(names, s.name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	_ = f.Close()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return errors.Join(os.NewSyscallError("unshare", err), os.Remove(path))
	}
	const own = "/proc/thread-self/ns/net"
	if err := unix.Mount(own, path, "none", unix.MS_BIND, ""); err != nil {
		return errors.Join(os.NewSyscallError("mount", err), os.Remove(path))
	}
	// From here on close removes the name.
	if s.file, err = os.Open(own); err != nil {
		return errors.Join(err, removeName(s.name))
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(s.file.Fd()), &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	s.id = nsID{uint64(st.Dev), st.Ino}
	if s.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	lo, err := s.nl.LinkByName("lo")
	if err != nil {
		return err
	}
	return s.nl.LinkSetUp(lo)
}

// set is called on the thread: /proc/sys/net is the namespace of who asks.
func (s *space) set(settings ...string) error {
	for i := 0; i < len(settings); i += 2 {
		err := os.WriteFile("/proc/sys/net/"+settings[i], []byte(settings[i+1]), 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// do calls a function in the namespace, one at a time.
func (s *space) do(f func() error) error {
	result := make(chan error, 1)
	select {
	case s.calls <- func() { result <- f() }:
		return <-result
	case <-s.quit:
		return fmt.Errorf("namespace %s: %w", s.name, errGone)
	}
}

// dup is the namespace for inNamespace, which outlives the space.
func (s *space) dup() (*os.File, error) {
	fd, err := unix.FcntlInt(s.file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	return os.NewFile(uintptr(fd), s.name), nil
}

// inNamespace calls a function on a thread of its own, for what may take long.
func inNamespace(file *os.File, f func() error) error {
	result := make(chan error, 1)
	onThread(func() {
		if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
			result <- os.NewSyscallError("setns", err)
			return
		}
		result <- f()
	})
	return <-result
}

// close takes the name away and ends the thread. The kernel ends the namespace
// when no process and no socket is left in it. It is called once.
func (s *space) close() error {
	close(s.quit)
	<-s.ended
	if s.nl != nil {
		s.nl.Close()
	}
	if s.file == nil {
		return nil
	}
	_ = s.file.Close()
	return removeName(s.name)
}

func removeName(name string) error {
	path := filepath.Join(names, name)
	return errors.Join(os.NewSyscallError("unmount "+path, unix.Unmount(path, unix.MNT_DETACH)), os.Remove(path))
}

// configure gives an interface addresses, and routes to subnets in which it has
// none, and takes it up.
func (s *space) configure(iface string, own []netip.Prefix, routes []netip.Prefix) error {
	link, err := s.nl.LinkByName(iface)
	if err != nil {
		return fmt.Errorf("%s: %w", iface, err)
	}
	for _, a := range own {
		addr := &netlink.Addr{IPNet: ipNet(a)}
		if a.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := s.nl.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("%s: address %s: %w", iface, a, err)
		}
	}
	if err := s.nl.LinkSetUp(link); err != nil {
		return fmt.Errorf("%s: up: %w", iface, err)
	}
	for _, r := range routes {
		if err := s.nl.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(r), Scope: netlink.SCOPE_LINK}); err != nil {
			return fmt.Errorf("%s: route to %s: %w", iface, r, err)
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
