package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/reconcile/drill"
	"github.com/hactl/hactl/schema"
)

// hostFlags say which host of the specification this machine is, and where its
// VRRP engine is.
type hostFlags struct {
	name    string
	runtime string
}

// noHost leaves this machine out.
const noHost = drill.NoHost

func (f *hostFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.name, "host", os.Getenv("HACTL_HOST"), "which host of the specification this machine is, or \"none\" (default: HACTL_HOST, its hostname, or the host with one of its addresses)")
	f.registerRuntime(cmd)
}

// registerRuntime is for commands that ask this machine, whichever host it is.
func (f *hostFlags) registerRuntime(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.runtime, "runtime", "", "directory of the sockets of this machine's agent and VRRP engine (default: HACTL_RUNTIME_DIR, RUNTIME_DIRECTORY, else /run/hactl or the user's)")
}

// find returns the name of this machine in the specification, "" if it is none
// of its hosts or is left out.
func (f *hostFlags) find(spec *schema.Spec) (string, error) {
	if f.name == noHost {
		return "", nil
	}
	if f.name != "" {
		if _, known := spec.Hosts[f.name]; !known {
			return "", fmt.Errorf("--host %s: the specification has no such host; it has %s", f.name, hostNames(spec))
		}
		return f.name, nil
	}
	if name, err := os.Hostname(); err == nil {
		short, _, _ := strings.Cut(name, ".")
		for _, n := range []string{name, short} {
			if _, known := spec.Hosts[n]; known {
				return n, nil
			}
		}
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "", nil //nolint:nilerr // Then nothing says which host this is.
	}
	var found []string
	for name, h := range spec.Hosts {
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			want, werr := netip.ParseAddr(h.Address)
			if err == nil && werr == nil && p.Addr() == want && !want.IsLoopback() {
				found = append(found, name)
			}
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	return "", nil
}

func hostNames(spec *schema.Spec) string {
	if len(spec.Hosts) == 0 {
		return "none"
	}
	var names []string
	for name := range spec.Hosts {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// dir is the engine's runtime directory.
func (f *hostFlags) dir() string {
	for _, dir := range []string{f.runtime, os.Getenv("HACTL_RUNTIME_DIR"), os.Getenv("RUNTIME_DIRECTORY")} {
		if dir != "" {
			return dir
		}
	}
	const system = "/run/hactl"
	if user := os.Getenv("XDG_RUNTIME_DIR"); user != "" && os.Geteuid() != 0 {
		// An engine of the system's is the one to ask, unless the user has one.
		own := filepath.Join(user, "hactl")
		_, mine := os.Lstat(own)
		if _, theirs := os.Lstat(system); mine == nil || theirs != nil {
			return own
		}
	}
	return system
}

// node is this machine as an engine, nil if it is no host of the specification.
func (f *hostFlags) node(spec *schema.Spec) (*host.Node, error) {
	name, err := f.find(spec)
	if err != nil || name == "" {
		return nil, err
	}
	return &host.Node{Host: name, Dir: f.dir(), Secret: secret}, nil
}
