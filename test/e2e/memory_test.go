package e2e_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/sluice-gateway/sluice/test/netlab"
)

// memoryGroups is where control groups of version 1 limit memory.
const memoryGroups = "/sys/fs/cgroup/memory"

// starve gives a process no more memory than it has: the kernel ends it when it asks for more (cgroup-v1/memory).
func starve(t *testing.T, pid int) {
	t.Helper()
	dir := filepath.Join(memoryGroups, fmt.Sprintf("sluice-e2e-%d-%d", os.Getpid(), pid))
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		t.Skipf("skipped: no control group of version 1 limits memory here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) }) // it is empty when the process is gone
	for file, value := range map[string]string{"memory.limit_in_bytes": "64K", "memory.swappiness": "0"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestMemoryExhaustion: core and warden are ended by the kernel for want of memory, one after the other. The monitoring
// point stays silent, and when both are back the node takes in records again.
func TestMemoryExhaustion(t *testing.T) {
	p := newPair(t, link{rate: "100Mbit", parity: "25%", designLoss: "1%"})
	witness := p.site.Monitor.Watch(netlab.PeerInterface)
	control(t, p, witness, "before")
	p.start()
	silence := fromPlant(t, p, witness)
	core, warden := p.plant.cmd.Process.Pid, p.plant.status().Guard.Warden.PID
	plugin := p.plant.status().Receivers[0].Plugin.PID

	starve(t, warden)
	p.plant.eventually("the warden is gone", func() bool { return gone(warden) })
	sendFromMonitoringPoint(t, p, "without a warden")
	starve(t, core)
	p.plant.eventually("the core is gone", func() bool { return gone(core) })
	t.Log("the core ended:", <-p.plant.end)
	p.plant.eventually("its plugins are gone", func() bool { return gone(plugin) })
	sendFromMonitoringPoint(t, p, "without a core")

	p.plant.start()
	sendFromMonitoringPoint(t, p, "with new ones")
	p.stop()
	p.plant.sluice("guard", "release", "--node", "plant", "--reason", "the test ends")
	control(t, p, witness, "after")
	if left := fromPlant(t, p, witness) - silence; left != 1 {
		t.Errorf("%d frames left the monitoring point, want the last one alone", left)
	}
}
