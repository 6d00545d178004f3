package packaging_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// exposureMost is what `systemd-analyze security` of systemd 252 may say at
// most, in tenths. What is left is what the units cannot do without: each
// line that it complains about stands as a comment in the unit or in
// docs/threat-model.md.
func exposureMost() map[string]string {
	return map[string]string{"sluice.service": "31", "sluice-guard.service": "21"}
}

// tool finds a program, or skips the test and names the Debian package.
func tool(t *testing.T, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not here (apt-get install %s)", name, debian)
	}
	return path
}

// output runs a program and fails the test when it does not end well.
func output(t *testing.T, within time.Duration, name string, args ...string) string {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), within)
	defer stop()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// barren makes a root in which systemd-analyze finds our units and as little
// else as it wants.
func barren(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	units := filepath.Join(root, "usr/lib/systemd/system")
	for _, dir := range []string{units, filepath.Join(root, "usr/bin")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"sluice.service", "sluice-guard.service"} {
		data, err := os.ReadFile(filepath.Join("systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(units, name), string(data), 0o644)
	}
	for _, name := range []string{"sysinit", "basic", "shutdown", "network", "network-pre", "multi-user", "local-fs"} {
		write(t, filepath.Join(units, name+".target"), "[Unit]\nDescription="+name+"\n", 0o644)
	}
	write(t, filepath.Join(root, "usr/bin/sluice"), "#!/bin/sh\n", 0o755)
	return root
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// accepted reports a line of systemd-analyze verify that is known: a key that
// newer versions have.
func accepted(line string) bool {
	return line == "" || strings.Contains(line, "'FileDescriptorStorePreserve'")
}

func TestUnitsVerify(t *testing.T) {
	analyze := tool(t, "systemd-analyze", "systemd")
	out := output(t, time.Minute, analyze, "verify", "--man=no", "--root="+barren(t), "sluice.service", "sluice-guard.service")
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); !accepted(line) {
			t.Error(line)
		}
	}
}

func TestExposure(t *testing.T) {
	analyze := tool(t, "systemd-analyze", "systemd")
	root := barren(t)
	for name, most := range exposureMost() {
		out := output(t, time.Minute, analyze, "security", "--no-pager", "--offline=true", "--root="+root, "--threshold="+most, name)
		for line := range strings.Lines(out) {
			if strings.Contains(line, "Overall exposure") {
				t.Log(strings.TrimSpace(line))
			}
		}
	}
}

func TestScriptsParse(t *testing.T) {
	sh := tool(t, "sh", "dash")
	for _, pattern := range []string{"scripts/*", "*.sh"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			output(t, time.Minute, sh, "-n", file)
		}
	}
}
