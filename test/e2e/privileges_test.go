package e2e_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/internal/privilege"
)

// TestPrivileges reads back from the kernel what each process of a node that was started as root holds: the table of
// docs/guard.md.
func TestPrivileges(t *testing.T) {
	p := newPair(t, link{rate: "100Mbit", parity: "25%", designLoss: "1%"})
	p.start()
	st := p.plant.status()
	core := privilege.SetOf(privilege.SysAdmin, privilege.SetUID, privilege.SetGID, privilege.SetPCap, privilege.Chown,
		privilege.DACOverride, privilege.Kill, privilege.NetBindService)
	holds(t, "core", p.plant.cmd.Process.Pid, core)
	if st.Guard.Warden == nil || !st.Guard.Warden.Known {
		t.Fatalf("no warden: %+v", st.Guard)
	}
	holds(t, "warden", st.Guard.Warden.PID, privilege.SetOf(privilege.NetAdmin, privilege.BPF, privilege.NetRaw))
	for _, r := range st.Receivers {
		holds(t, "plugin of "+r.Name, r.Plugin.PID, 0)
		status := procStatus(t, r.Plugin.PID)
		for _, want := range []string{"NoNewPrivs:\t1\n", "Seccomp:\t2\n", fmt.Sprintf("Uid:\t%d\t", pluginUser)} {
			if !strings.Contains(status, want) {
				t.Errorf("plugin of %s: no %q in\n%s", r.Name, want, status)
			}
		}
		for _, layer := range r.Plugin.Missing { // the namespace of the test has a /sys of its own, without control groups
			if !strings.HasPrefix(layer, "control group limits:") {
				t.Errorf("plugin of %s lacks %s", r.Name, layer)
			}
		}
	}
	p.stop()
}

// holds compares what a process is permitted, and what it could ever get, with what it should.
func holds(t *testing.T, who string, pid int, want privilege.Set) {
	t.Helper()
	all, err := privilege.Threads(pid)
	if err != nil || len(all) == 0 {
		t.Fatalf("%s: %v", who, err)
	}
	for _, s := range all {
		if s.Permitted != want || s.Bounding != want || s.Effective&^want != 0 || s.Inheritable&^want != 0 || s.Ambient&^want != 0 {
			t.Errorf("%s (pid %d): %s; want %s", who, pid, s, want)
			return
		}
	}
}

func procStatus(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
