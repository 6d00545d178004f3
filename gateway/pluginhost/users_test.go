package pluginhost_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// again runs tests of this binary in another process, as somebody else.
func again(t *testing.T, tests, env string, attr *syscall.SysProcAttr, owner int) {
	t.Helper()
	dir, err := os.MkdirTemp("", "slag") //nolint:usetesting // another user is to pass it, and t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chown(dir, owner, owner); err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "again.test") // where this one lies another user may not go
	if err := os.WriteFile(program, self, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(program, 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.count=1", "-test.v", "-test.run="+tests)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir, "GOCOVERDIR="+dir, env)
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "no tests to run") {
		t.Errorf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "SKIP") || strings.Contains(line, "nothing bounds") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

const confinedTests = "^(TestHostilePluginStaysIn|TestConfinementIsReadBack|TestGrants|TestGluttons|TestPluginDiesWithHost|TestStopIsBounded|TestSocketDirectories)$"

// TestAsOrdinaryUser: the sandbox stands on a user namespace then.
func TestAsOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("this is an ordinary user already, only root can become another")
	}
	const nobody = 65534
	again(t, confinedTests, "LANG=C", &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}, nobody)
}

// TestAsRootWithLess: a gateway that root started keeps a few capabilities only.
func TestAsRootWithLess(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root has something to give up")
	}
	again(t, confinedTests, stepDown+"=1", nil, 0)
}
