package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// The units that hactl install writes. The engine is one of its own, so that
// nothing that happens to the agent (a restart, a crash, a hook that goes wild,
// a lack of memory) touches the addresses, and so that what runs the programs
// of a specification has none of the engine's privileges.
const (
	engineName = "hactl-engine.service"
	agentName  = "hactl.service"
	userName   = "hactl"
	runtimeDir = "/run/hactl"
)

// installation is what the units depend on.
type installation struct {
	bin         string
	run         []string // flags of hactl run
	credentials []credentialFile
	realtime    bool
}

// credentialFile is one that systemd reads, whoever may, and passes on.
type credentialFile struct{ name, path string }

// hardening is what both units do without.
const hardening = `
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectHostname=yes
ProtectClock=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
RestrictNamespaces=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
KeyringMode=private
UMask=0077
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
`

// shared is what both units have of the host.
const shared = `
User=` + userName + `
Group=` + userName + `
RuntimeDirectory=hactl
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
`

// engineUnit is the VRRP engine. It writes the settings of interfaces with a
// virtual MAC or an owner elsewhere (/proc/sys/net), speaks netlink and raw IP, and reads no secret.
func engineUnit(i installation) string {
	realtime := "# Ordinary scheduling and memory.\nEnvironment=HACTL_ENGINE_NORMAL=1\nRestrictRealtime=yes\n"
	if i.realtime {
		realtime = "# SCHED_FIFO and locked memory, by limits in place of CAP_SYS_NICE and CAP_IPC_LOCK.\n" +
			"LimitRTPRIO=20\nLimitMEMLOCK=infinity\n"
	}
	return `# Written by hactl install. Put changes into ` + engineName + `.d/*.conf.
[Unit]
Description=hactl VRRP engine
Documentation=https://github.com/hactl/hactl
# Stopped before the network is, so that another host can take over first.
After=network.target
# It is started again for ever, and takes pauses itself.
StartLimitIntervalSec=0

[Service]
Type=notify
# An upgrade makes another process the main one, without a transition.
NotifyAccess=all
ExecStart=` + quoteArgument(i.bin) + ` engine
Environment=HACTL_ENGINE=` + runtimeDir + `
Restart=always
RestartSec=0
WatchdogSec=20s
TimeoutAbortSec=5s
TimeoutStartSec=30s
TimeoutStopSec=30s
KillMode=mixed
OOMScoreAdjust=-900
` + strings.TrimPrefix(shared, "\n") + `AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW
` + realtime + hardening + `# The settings of interfaces with a virtual MAC.
ReadWritePaths=/proc/sys/net
ProtectProc=invisible
RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET AF_INET6 AF_PACKET
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @aio @keyring
MemoryDenyWriteExecute=yes

[Install]
WantedBy=multi-user.target
`
}

// agentUnit is hactl run. Checks and hooks run under it: they see all processes,
// and write where a drop-in allows it.
func agentUnit(i installation) string {
	var given strings.Builder
	for _, c := range i.credentials {
		fmt.Fprintf(&given, "LoadCredential=%s:%s\n", c.name, c.path)
		if c.name == cloudflareCredential {
			given.WriteString("Environment=CLOUDFLARE_API_TOKEN_FILE=" + credentialsDir + c.name + "\n")
		}
	}
	command := quoteArgument(i.bin) + " run --external-engine"
	for _, a := range i.run {
		command += " " + i.argument(a)
	}
	return `# Written by hactl install. Put changes into ` + agentName + `.d/*.conf: hooks that
# write elsewhere need ReadWritePaths=, checks and hooks as other users
# AmbientCapabilities=, CapabilityBoundingSet= (CAP_SETUID CAP_SETGID) and
# SystemCallFilter=@setuid capset.
[Unit]
Description=hactl agent
Documentation=https://github.com/hactl/hactl
# The engine goes on whatever becomes of the agent.
Wants=` + engineName + `
After=` + engineName + ` network.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart=` + command + `
# The binary anew, and the engine's too, without a transition.
ExecReload=/bin/kill -USR2 $MAINPID
Restart=always
RestartSec=1s
WatchdogSec=2min
TimeoutStartSec=5min
TimeoutStopSec=1min
KillMode=mixed
` + strings.TrimPrefix(shared, "\n") + `StateDirectory=hactl
StateDirectoryMode=0700
` + given.String() + `CapabilityBoundingSet=
RestrictRealtime=yes
` + strings.TrimPrefix(hardening, "\n") + `RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET AF_INET6
SystemCallFilter=@system-service
SystemCallFilter=~@privileged

[Install]
WantedBy=multi-user.target
`
}

// usersFile makes the user, by systemd-sysusers.
const usersFile = `# Written by hactl install.
u ` + userName + ` - "hactl" /var/lib/hactl /usr/sbin/nologin
`

// cloudflareCredential is the name of the credential that is Cloudflare's API
// token.
const cloudflareCredential = "cloudflare-token"

// credentialsDir is where the agent has its credentials (systemd.exec(5)): without
// the specifier %d, which is of systemd 250, where the rest is of 247.
const credentialsDir = "/run/credentials/" + agentName + "/"

// argument is one of run's flags. The path of a credential becomes that of
// what systemd makes of it.
func (i *installation) argument(a string) string {
	for _, c := range i.credentials {
		if rest, ok := strings.CutSuffix(a, c.path); ok && (rest == "" || strings.HasSuffix(rest, "=")) {
			if rest != "" {
				rest = quoteArgument(rest)
			}
			return rest + credentialsDir + c.name
		}
	}
	return quoteArgument(a)
}

var plain = regexp.MustCompile(`^[A-Za-z0-9_./:=,@+-]+$`)

// quoteArgument writes an argument for Exec lines (systemd.service(5)): specifiers and
// variables are not what it means.
func quoteArgument(a string) string {
	if plain.MatchString(a) {
		return a
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$").Replace(a) + `"`
}

var credentialPattern = regexp.MustCompile(`^([A-Za-z0-9_-][A-Za-z0-9_.-]*)=(/[A-Za-z0-9_./:@+-]+)$`)

func parseCredential(s string) (credentialFile, error) {
	m := credentialPattern.FindStringSubmatch(s)
	if m == nil || filepath.Clean(m[2]) != m[2] {
		// Not what was given: it may be the secret itself.
		return credentialFile{}, errors.New("--credential: want NAME=/ABSOLUTE/PATH, without spaces")
	}
	return credentialFile{m[1], m[2]}, nil
}
