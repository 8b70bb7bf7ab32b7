package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestArgumentsArriveAsTheyAre(t *testing.T) {
	i := installation{credentials: []credentialFile{{"git", "/root/git.token"}}}
	for given, want := range map[string]string{
		"-C": "-C", "/etc/hactl": "/etc/hactl", "": `""`, "a b": `"a b"`, ";": `";"`, "100%": `"100%%"`, "$HOME": `"$$HOME"`,
		`say "\"`: `"say \"\\\""`, "/root/git.token": credentialsDir + "git", "--token-file=/root/git.token": "--token-file=" + credentialsDir + "git",
		"/other/root/git.token": "/other/root/git.token",
	} {
		if got := i.argument(given); got != want {
			t.Errorf("%s is written %s, want %s", given, got, want)
		}
	}
}

// TestUnitsAreValidAndTight has systemd judge: nothing that it does not know, and
// less than 3.0 of the exposure that it counts.
func TestUnitsAreValidAndTight(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		if os.Getenv("HACTL_NETNS") == "required" {
			t.Fatal("this needs systemd-analyze(1)")
		}
		t.Skip("this needs systemd-analyze(1)")
	}
	for _, realtime := range []bool{true, false} {
		i := installation{
			bin: "/bin/true", realtime: realtime, run: []string{"-C", "/etc/hactl", "--host", "a b"},
			credentials: []credentialFile{{"vrrp", "/etc/hactl/vrrp.password"}, {cloudflareCredential, "/etc/hactl/token"}},
		}
		dir := t.TempDir()
		for name, content := range map[string]string{engineName: engineUnit(i), agentName: agentUnit(i)} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{engineName, agentName} {
			file := filepath.Join(dir, name)
			out, err := exec.Command("systemd-analyze", "verify", file).CombinedOutput()
			if err != nil || strings.Contains(string(out), dir) {
				t.Errorf("%s: %v: %s", name, err, out)
			}
			out, err = exec.Command("systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=30", file).CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v: %s", name, err, out)
			}
			for line := range strings.Lines(string(out)) {
				if strings.Contains(line, "Overall") {
					t.Log(strings.TrimSpace(line))
				}
			}
		}
	}
}
