//go:build linux

package fence_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/fence"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// indexEnv tells the test binary, started again with few privileges, which
// interface to fence.
const indexEnv = "FENCE_TEST_INDEX"

func TestMain(m *testing.M) {
	if index := os.Getenv(indexEnv); index != "" {
		if err := fenceOne(index); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// fenceOne does everything that the privileged process does with a fence.
func fenceOne(number string) error {
	var index int
	if _, err := fmt.Sscan(number, &index); err != nil {
		return err
	}
	table, err := fence.OpenTable()
	if err != nil {
		return err
	}
	f, err := fence.New(fence.Options{Table: table})
	if err != nil {
		return err
	}
	for _, role := range []guard.Role{guard.Monitoring, guard.DiodeRX, guard.DiodeTX} {
		t := fence.Target{Index: index, Name: fenced, Role: role, Send: linkFlows(), Receive: linkFlows()}
		if err := f.Apply(fence.Plan{Targets: []fence.Target{t}}); err != nil {
			return err
		}
		found, err := f.Audit()
		if err != nil || len(found.Drifts)+len(found.Breaches) > 0 {
			return fmt.Errorf("audit %+v: %w", found, err)
		}
	}
	if err := f.Down(index); err != nil {
		return err
	}
	if err := f.Remove(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return table.Close()
}

// asNobody runs fenceOne as an ordinary user with some capabilities.
func asNobody(t *testing.T, lab *netlab.Lab, caps ...uintptr) (string, error) {
	t.Helper()
	self, err := os.Open("/proc/self/exe")
	must(t, err)
	defer func() { must(t, self.Close()) }()
	cmd := exec.CommandContext(t.Context(), "/proc/self/fd/3")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", indexEnv, lab.Self().Index(fenced)))
	cmd.ExtraFiles = []*os.File{self}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, AmbientCaps: caps}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestLeastPrivileges: two capabilities are enough, and one of them is not.
func TestLeastPrivileges(t *testing.T) {
	b := newBench(t)
	if b == nil {
		return
	}
	must(t, b.table.Close()) // the other process makes one of its own
	if out, err := asNobody(t, b.lab, unix.CAP_NET_ADMIN, unix.CAP_BPF); err != nil {
		t.Errorf("with CAP_NET_ADMIN and CAP_BPF: %v: %s", err, out)
	}
	for _, caps := range [][]uintptr{nil, {unix.CAP_BPF}, {unix.CAP_NET_ADMIN}} {
		out, err := asNobody(t, b.lab, caps...)
		if err == nil || !strings.Contains(out, "not permitted") && !strings.Contains(out, "CAP_BPF") {
			t.Errorf("with capabilities %v: %v: %s", caps, err, out)
		}
	}
}
