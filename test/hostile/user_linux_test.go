package hostile_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// ordinaryUser is the kernel's overflow user, who owns nothing.
const ordinaryUser = 65534

// TestAsOrdinaryUser runs the other tests again in a process of an ordinary user: there the sandbox stands on a user
// namespace.
func TestAsOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: this is an ordinary user already, and only root can become another")
	}
	dir := newBase(t)
	if err := os.Chown(dir, ordinaryUser, ordinaryUser); err != nil {
		t.Fatal(err)
	}
	args := []string{"-test.run=^(TestAttacks|TestLoads|TestLinksAreNotFollowed|TestSwappedFile|TestStopped|TestCoreKilled|TestOrdinaryPlugin)$", "-test.count=1"}
	if testing.Verbose() {
		args = append(args, "-test.v")
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir, "GOCOVERDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: ordinaryUser, Gid: ordinaryUser}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("as user %d: %v", ordinaryUser, err)
	}
	t.Logf("as user %d:\n    %s", ordinaryUser, strings.ReplaceAll(string(out), "\n", "\n    "))
}
