package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hactl/hactl/schema"
)

// labSurroundings are those of an agent in a lab, whose directory has what its
// health checks are to find. Secrets are made up, alike on every host.
func labSurroundings(dir string) surroundings {
	return surroundings{
		secret: func(r schema.SecretRef) (string, error) {
			sum := sha256.Sum256(fmt.Appendf(nil, "%+v", r))
			return hex.EncodeToString(sum[:4]), nil // as long as a VRRP password may be
		},
		check: func(name string) error {
			_, err := os.Lstat(failingCheck(dir, name))
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return errors.Join(errors.New("the drill lets it fail"), err)
		},
		adapt: adaptToLab,
	}
}

// failingCheck is the file by which a check fails in a lab.
func failingCheck(dir, name string) string {
	return filepath.Join(dir, "fails", url.PathEscape(name))
}

// labActivation is how long members of a Virtual Router wait at most for the
// others to know of a change: all have looked at Git twice by then.
const labActivation = schema.Duration(3 * time.Second)

// adaptToLab takes out of a specification what leads out of a lab: accounts,
// agents and people to be told. What members agree on changes soon. The edge has a leader, the one that is named
// unless that takes an etcd.
func adaptToLab(s *schema.Spec) {
	s.Account = ""
	s.Notifications = nil
	for name, h := range s.Hosts {
		h.Agent = ""
		s.Hosts[name] = h
	}
	for name, v := range s.VirtualRouters {
		v.ActivationDelay = min(v.ActivationDelay, labActivation)
		s.VirtualRouters[name] = v
	}
	if l := s.Leader; l != nil && len(l.Etcd) == 0 {
		return
	}
	s.Leader = nil
	if routers := slices.Sorted(maps.Keys(s.VirtualRouters)); len(routers) > 0 {
		s.Leader = &schema.Leader{VirtualRouter: routers[0]}
	} else if hosts := slices.Sorted(maps.Keys(s.Hosts)); len(hosts) > 0 {
		s.Leader = &schema.Leader{Host: hosts[0]}
	}
}
