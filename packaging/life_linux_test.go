package packaging_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	t.Helper()
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
	for _, socket := range []string{"/run/sluice/guard.sock", "/var/lib/sluice/gw/status.sock"} {
		m.run("test", "-S", socket)
		if _, err := m.try("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "test", "-w", socket); err == nil {
			t.Errorf("%s: everybody may ask there", socket)
		}
	}
}

// confined looks at the plugins: below the gateway's user nothing else is
// possible than namespaces of a user.
func confined(t *testing.T, m *machine, core string) {
	t.Helper()
	s, err := m.standing()
	if err != nil {
		t.Fatal(err)
	}
	all := slices.Concat(s.Receivers, s.Sinks)
	if len(all) < 2 {
		t.Fatalf("%d plugins, want the receiver's and the sink's", len(all))
	}
	for _, c := range all {
		t.Logf("%s: %s; missing: %s", c.Name, strings.Join(c.Plugin.Confinement, ", "), strings.Join(c.Plugin.Missing, "; "))
		// Where this machine has its controllers in version 1, none are there to delegate.
		lacks := slices.DeleteFunc(c.Plugin.Missing, func(layer string) bool { return strings.HasPrefix(layer, "control group limits") })
		if c.Plugin.PID == 0 || len(lacks) > 0 {
			t.Errorf("%s is process %d and lacks %v", c.Name, c.Plugin.PID, lacks)
			continue
		}
		pid := strconv.Itoa(c.Plugin.PID)
		for _, kind := range []string{"user", "net", "mnt", "pid", "ipc", "uts"} {
			if m.namespace(pid, kind) == m.namespace(core, kind) {
				t.Errorf("%s shares the gateway's %s namespace", c.Name, kind)
			}
		}
		if h := m.held(pid); h.Permitted|h.Effective|h.Bounding|h.Ambient != 0 {
			t.Errorf("%s holds %+v", c.Name, h)
		}
		if m.field(pid, "NoNewPrivs") != "1" || m.field(pid, "Seccomp") != "2" {
			t.Errorf("%s: NoNewPrivs %s, Seccomp %s", c.Name, m.field(pid, "NoNewPrivs"), m.field(pid, "Seccomp"))
		}
	}
}

// namespace names the namespace of a kind that a process is in.
func (m *machine) namespace(pid, kind string) string {
	m.t.Helper()
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", m.outside(pid), kind))
	if err != nil {
		m.t.Fatal(err)
	}
	return link
}

// silence lets another program talk where the guard stands.
func silence(t *testing.T, m *machine, p plant) {
	t.Helper()
	m.await("the guard's word", m.guarded)
	ruleset := m.run("nft", "list", "ruleset")
	if !strings.Contains(ruleset, "sluice") || !strings.Contains(ruleset, monitoringName) {
		t.Errorf("no rules of ours:\n%s", ruleset)
	}
	quiet(t, p)
	t.Log(m.run("sluice", "guard", "test"))
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
	t.Helper()
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
	t.Helper()
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
	t.Helper()
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
	t.Helper()
	core, warden := m.main("sluice.service"), m.main("sluice-guard.service")
	m.run("dpkg", "--install", "/root/sluice.deb")
	m.await("both anew", func() bool {
		nowCore, nowWarden := m.main("sluice.service"), m.main("sluice-guard.service")
		return nowCore != core && nowCore != "0" && nowWarden != warden && nowWarden != "0" && m.ready() && m.guarded()
	})
	m.arrives(p, "after the upgrade")
	quiet(t, p)
}

// rebooted looks at a machine that was started anew with new cards of the old
// names: the guard fences from what it kept, before the network begins.
func rebooted(t *testing.T, m *machine, p plant) {
	t.Helper()
	m.await("the node to be ready", m.ready)
	m.await("the guard's word", m.guarded)
	when := func(unit string) uint64 {
		n, err := strconv.ParseUint(m.run("systemctl", "show", "--property=ActiveEnterTimestampMonotonic", "--value", unit), 10, 64)
		if err != nil || n == 0 {
			t.Fatalf("%s was never active: %v", unit, err)
		}
		return n
	}
	guard, network, core := when("sluice-guard.service"), when("network-pre.target"), when("sluice.service")
	if guard > network || network > core {
		t.Errorf("the guard was there at %d us, the network at %d us, the gateway at %d us", guard, network, core)
	}
	quiet(t, p)
	m.arrives(p, "after the reboot")
}

// isolated gives the monitoring point a namespace of its own, as the example
// of a drop-in says.
func isolated(t *testing.T, m *machine, p plant) {
	t.Helper()
	m.run("install", "-D", "-m", "644", "/usr/share/doc/sluice/examples/isolate.conf", "/etc/systemd/system/sluice-guard.service.d/isolate.conf")
	site := strings.Replace(configuration, "monitoring_points", "isolate = \"namespace\"\n  monitoring_points", 1)
	write(t, filepath.Join(m.root, "etc/sluice/conf.d/site.hcl"), site, 0o644)
	witness := p.mirror.Watch("peer0")
	m.run("systemctl", "daemon-reload")
	m.run("systemctl", "restart", "sluice-guard.service", "sluice.service")
	m.await("the node to be ready", m.ready)
	m.await("the guard's word", m.guarded)
	m.await("the monitoring point to be elsewhere", func() bool {
		_, err := m.try("ip", "link", "show", monitoringName)
		return err != nil
	})
	m.arrives(p, "while the monitoring point is elsewhere")
	if s := m.held(m.main("sluice-guard.service")); !s.Permitted.Has(privilege.SysAdmin) || s.Effective.Has(privilege.SysAdmin) {
		t.Errorf("the guard holds %+v", s)
	}
	if n := witness.Count(); n != 0 {
		t.Errorf("%d frames left by the monitoring point", n)
	}
}

// removal takes the package away: nothing runs, what was not delivered stays.
func removal(t *testing.T, m *machine) {
	t.Helper()
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
