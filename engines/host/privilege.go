package host

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Where the agent is not root it has its capabilities for the engine alone: it
// keeps them permitted, so that it can lend them, and has nothing inherit them.

// lent are the capabilities that an engine is given by who starts it, as far
// as it has them itself: root's processes have all, and those of a unit inherit
// them, so that its filter need not allow capset(2).
func lent() []uintptr {
	if os.Geteuid() == 0 {
		return nil
	}
	_, data, err := capabilities()
	if err != nil {
		return nil
	}
	var caps []uintptr
	for _, c := range []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_IPC_LOCK, unix.CAP_SYS_NICE} {
		inherited, _ := unix.PrctlRetInt(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_IS_SET, c, 0, 0)
		if data[c/32].Permitted&(1<<(c%32)) != 0 && inherited != 1 {
			caps = append(caps, c)
		}
	}
	return caps
}

// capabilities are those of the calling thread.
func capabilities() (unix.CapUserHeader, [2]unix.CapUserData, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	err := unix.Capget(&header, &data[0])
	header.Pid = 0
	return header, data, err
}

// keepBack leaves the calling thread nothing to be inherited; what is no longer
// inheritable is no longer ambient either (capset(2)).
func keepBack(set func(*unix.CapUserHeader, *unix.CapUserData) error) error {
	header, data, err := capabilities()
	if err != nil || data[0].Inheritable|data[1].Inheritable == 0 {
		return err
	}
	data[0].Inheritable, data[1].Inheritable = 0, 0
	return set(&header, &data[0])
}

// KeepCapabilities has no process that this one starts inherit capabilities,
// other than engines. It is an error in programs with C, where StartBare has to
// do. Root's processes have them for being root's.
func KeepCapabilities() error {
	return keepBack(func(header *unix.CapUserHeader, data *unix.CapUserData) error {
		_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(header)), uintptr(unsafe.Pointer(data)), 0)
		if errno != 0 {
			return os.NewSyscallError("capset", errno)
		}
		return nil
	})
}

// StartBare starts a command that inherits no capabilities.
func StartBare(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// The thread stays so, which does no harm: lent asks for permitted ones.
	if err := keepBack(unix.Capset); err != nil {
		return os.NewSyscallError("capset", err)
	}
	return cmd.Start()
}

// Exec is exec(3) for an agent: the program that goes on in this process is
// permitted what this one is, and can lend it too. It returns with an error only.
func Exec(path string, args, env []string) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	caps := lent()
	header, data, err := capabilities()
	if err == nil && len(caps) > 0 {
		for _, c := range caps {
			data[c/32].Inheritable |= 1 << (c % 32)
		}
		err = unix.Capset(&header, &data[0])
	}
	for _, c := range caps {
		if err == nil {
			err = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, c, 0, 0)
		}
	}
	if err != nil {
		return fmt.Errorf("pass capabilities on: %w", err)
	}
	return syscall.Exec(path, args, env)
}

// MayBecomeOthers says whether this process may start another as any user.
func MayBecomeOthers() bool {
	if os.Geteuid() == 0 {
		return true
	}
	const both = 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID
	_, data, err := capabilities()
	return err == nil && data[0].Effective&both == both
}
