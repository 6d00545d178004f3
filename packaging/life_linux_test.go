package packaging_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/internal/privilege"
)

// outside is what this machine calls a process of the other one
// (proc_pid_status(5), NSpid).
func (m *machine) outside(pid string) int {
	m.t.Helper()
	all, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, path := range all {
		data, _ := os.ReadFile(path)
		ids := strings.Fields(value(data, "NSpid"))
		if len(ids) < 2 || ids[1] != pid || !m.below(ids[0]) {
			continue
		}
		n, _ := strconv.Atoi(ids[0])
		return n
	}
	m.t.Fatalf("process %s of the machine is not here", pid)
	return 0
}

// below reports whether a process descends from the machine's first.
func (m *machine) below(pid string) bool {
	for range 64 { // deeper than any tree of the tests
		if pid == strconv.Itoa(m.init) {
			return true
		}
		data, err := os.ReadFile("/proc/" + pid + "/status")
		if err != nil {
			return false
		}
		pid = value(data, "PPid")
	}
	return false
}

// value is one line of /proc/PID/status.
func value(status []byte, name string) string {
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.Join(strings.Fields(v), " ")
		}
	}
	return ""
}

// held reads the capabilities of a process of the machine.
func (m *machine) held(pid string) privilege.Sets {
	m.t.Helper()
	s, err := privilege.Of(m.outside(pid))
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

// field is one line of the status of a process of the machine.
func (m *machine) field(pid, name string) string {
	m.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.outside(pid)))
	if err != nil {
		m.t.Fatal(err)
	}
	return value(data, name)
}

// user is who a process of the machine runs as.
func (m *machine) user(pid string) string {
	m.t.Helper()
	uid, _, _ := strings.Cut(m.field(pid, "Uid"), " ")
	name, _, _ := strings.Cut(m.run("getent", "passwd", uid), ":")
	return name
}

// privileges reads back what the processes hold.
func privileges(t *testing.T, m *machine) {
	core, warden := m.main("sluice.service"), m.main("sluice-guard.service")
	if got := m.user(core); got != "sluice" {
		t.Errorf("the gateway runs as %s", got)
	}
	if got := m.user(warden); got != "sluice-guard" {
		t.Errorf("the guard runs as %s", got)
	}
	if s := m.held(core); s.Permitted|s.Effective|s.Inheritable|s.Bounding|s.Ambient != 0 {
		t.Errorf("the gateway holds %+v", s)
	}
	all := privilege.SetOf(privilege.NetAdmin, privilege.BPF, privilege.NetRaw)
	s := m.held(warden)
	if s.Permitted != all || s.Bounding != all {
		t.Errorf("the guard holds %s, at most %s", s.Permitted, s.Bounding)
	}
	if s.Effective != privilege.SetOf(privilege.NetAdmin, privilege.BPF) {
		t.Errorf("effective in the guard: %s", s.Effective)
	}
	for _, pid := range []string{core, warden} {
		if m.field(pid, "NoNewPrivs") != "1" || m.field(pid, "Seccomp") != "2" {
			t.Errorf("%s: NoNewPrivs %s, Seccomp %s", pid, m.field(pid, "NoNewPrivs"), m.field(pid, "Seccomp"))
		}
	}
	confined(t, m, core)
}

// confined looks at the plugins: below the gateway's user nothing else is
// possible than namespaces of a user.
func confined(t *testing.T, m *machine, core string) {
	t.Helper()
	s, err := m.standing()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, p := range s.Plugins {
		t.Logf("%s: %s; missing: %s", p.Name, strings.Join(p.Confinement, ", "), strings.Join(p.Missing, "; "))
		pid := strconv.Itoa(p.PID)
		if p.PID == 0 {
			continue
		}
		seen++
		for _, kind := range []string{"user", "net", "mnt", "pid", "ipc", "uts"} {
			link := func(pid string) string { return m.run("readlink", "/proc/"+pid+"/ns/"+kind) }
			if link(pid) == link(core) {
				t.Errorf("%s shares the gateway's %s namespace", p.Name, kind)
			}
		}
		if h := m.held(pid); h.Permitted|h.Effective|h.Bounding|h.Ambient != 0 {
			t.Errorf("%s holds %+v", p.Name, h)
		}
		if m.field(pid, "NoNewPrivs") != "1" || m.field(pid, "Seccomp") != "2" {
			t.Errorf("%s: NoNewPrivs %s, Seccomp %s", p.Name, m.field(pid, "NoNewPrivs"), m.field(pid, "Seccomp"))
		}
	}
	if seen < 2 {
		t.Errorf("%d plugins run, want the receiver and the sink", seen)
	}
}

// silence lets another program talk where the guard stands.
func silence(t *testing.T, m *machine, p plant) {
	m.await("the guard's word", m.guarded)
	ruleset := m.run("nft", "list", "ruleset")
	if !strings.Contains(ruleset, "sluice") || !strings.Contains(ruleset, monitoringName) {
		t.Errorf("no rules of ours:\n%s", ruleset)
	}
	quiet(t, p)
}

// quiet lets a program talk, and a frame of the witness's own show that it
// would see more.
func quiet(t *testing.T, p plant) {
	t.Helper()
	witness := p.mirror.Watch("peer0")
	before := p.sent(t)
	for range 5 {
		p.talk(t)
	}
	if after := p.sent(t); after != before {
		t.Errorf("the monitoring point's transmit counter went from %s to %s", before, after)
	}
	if n := witness.Count(); n != 0 {
		t.Errorf("%d frames left by the monitoring point", n)
	}
}

// sent is the transmit counter of the monitoring point.
func (p plant) sent(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(p.node.Run("cat", "/sys/class/net/"+monitoringName+"/statistics/tx_packets"))
}

func (m *machine) guarded() bool {
	s, err := m.standing()
	return err == nil && s.Guard.State == "ok" && s.Guard.Warden != nil && s.Guard.Warden.Known
}

// guardKilled kills the guard. Its rules stand meanwhile, systemd starts it
// again, and the gateway does not end.
func guardKilled(t *testing.T, m *machine, p plant) {
	core, warden := m.main("sluice.service"), m.main("sluice-guard.service")
	m.run("kill", "-KILL", warden)
	if ruleset := m.run("nft", "list", "ruleset"); !strings.Contains(ruleset, monitoringName) {
		t.Errorf("the rules went with the guard:\n%s", ruleset)
	}
	quiet(t, p)
	m.await("another guard", func() bool {
		now := m.main("sluice-guard.service")
		return now != warden && now != "0" && m.guarded()
	})
	if now := m.main("sluice.service"); now != core {
		t.Errorf("the gateway was process %s and is %s", core, now)
	}
	m.arrives(p, "after the guard was killed")
	quiet(t, p)
}

// guardStopped stops the guard for good: the gateway goes on, takes nothing
// in, and the interface stays silent.
func guardStopped(t *testing.T, m *machine, p plant) {
	core := m.main("sluice.service")
	m.run("systemctl", "stop", "sluice-guard.service")
	m.await("the gateway to know", func() bool { s, err := m.standing(); return err == nil && s.Guard.State != "ok" })
	quiet(t, p)
	if now := m.main("sluice.service"); now != core {
		t.Errorf("the gateway was process %s and is %s", core, now)
	}
	m.run("systemctl", "start", "sluice-guard.service")
	m.await("the guard's word", m.guarded)
	m.arrives(p, "after the guard was stopped")
	quiet(t, p)
}

// coreKilled kills the gateway: its plugins go with it, the guard stays.
func coreKilled(t *testing.T, m *machine, p plant) {
	core, warden := m.main("sluice.service"), m.main("sluice-guard.service")
	m.run("kill", "-KILL", core)
	quiet(t, p)
	m.await("another gateway", func() bool {
		now := m.main("sluice.service")
		return now != core && now != "0" && m.ready()
	})
	if now := m.main("sluice-guard.service"); now != warden {
		t.Errorf("the guard was process %s and is %s", warden, now)
	}
	m.arrives(p, "after the gateway was killed")
}

// upgrade installs the package over itself while everything runs.
func upgrade(t *testing.T, m *machine, p plant) {
	core, warden := m.main("sluice.service"), m.main("sluice-guard.service")
	m.run("dpkg", "--install", "/root/sluice.deb")
	m.await("both anew", func() bool {
		nowCore, nowWarden := m.main("sluice.service"), m.main("sluice-guard.service")
		return nowCore != core && nowCore != "0" && nowWarden != warden && nowWarden != "0" && m.ready() && m.guarded()
	})
	m.arrives(p, "after the upgrade")
	quiet(t, p)
}

// removal takes the package away: nothing runs, what was not delivered stays.
func removal(t *testing.T, m *machine) {
	m.run("dpkg", "--remove", "sluice")
	if out, err := m.try("pgrep", "-l", "sluice"); err == nil {
		t.Errorf("still running:\n%s", out)
	}
	m.run("dpkg", "--purge", "sluice")
	for path, want := range map[string]bool{"var/lib/sluice/out/records.ndjson": true, "var/lib/sluice-guard": false, "usr/bin/sluice": false} {
		if _, err := os.Stat(filepath.Join(m.root, path)); (err == nil) != want {
			t.Errorf("/%s is there: %v, want %v", path, err == nil, want)
		}
	}
}
