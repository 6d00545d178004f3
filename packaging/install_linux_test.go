package packaging_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/test/netlab"
)

// The machine's network: a service interface with the endpoint at the other
// end, and a monitoring point with the plant's mirror port.
const (
	serviceName    = "data0"
	monitoringName = "mon0"
	syslogPort     = 5514
)

func serviceAddr() netip.Prefix  { return netip.MustParsePrefix("192.168.77.1/24") }
func endpointAddr() netip.Prefix { return netip.MustParsePrefix("192.168.77.2/24") }

// configuration is a node that takes syslog in and writes it to a file.
const configuration = `
gateway { site = "package" }

node "gw" {
  monitoring_points  = ["mon0"]
  service_interfaces = ["data0"]
}

receiver "udp" "syslog" {
  node = node.gw
  port = 5514
  config { protocol = "syslog" }
}

sink "file" "records" {
  node = node.gw
  config { path = "out/records.ndjson" }
}

route "all" {
  from = [receiver.udp.syslog]
  to   = [sink.file.records]
}

exception "plain" {
  allows      = "unencrypted_udp"
  on          = receiver.udp.syslog
  reason      = "test on a cable of its own"
  approved_by = "the test"
  until       = "2036-12-31"
}
`

// plant is the network around the machine.
type plant struct {
	node, endpoint, mirror *netlab.Namespace
}

func newPlant(t *testing.T) plant {
	t.Helper()
	lab := netlab.New(t)
	p := plant{node: lab.Namespace("node"), endpoint: lab.Namespace("endpoint"), mirror: lab.Namespace("mirror")}
	lab.Cable(
		netlab.End{In: p.node, Name: serviceName, Addrs: []netip.Prefix{serviceAddr()}},
		netlab.End{In: p.endpoint, Name: "peer0", Addrs: []netip.Prefix{endpointAddr()}},
	)
	lab.Cable(netlab.End{In: p.node, Name: monitoringName}, netlab.End{In: p.mirror, Name: "peer0"})
	return p
}

// talk lets any program of the machine send by the monitoring point.
func (p plant) talk(t *testing.T) {
	t.Helper()
	err := p.node.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		if err := unix.BindToDevice(fd, monitoringName); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1); err != nil {
			return err
		}
		to := &unix.SockaddrInet4{Port: 9, Addr: [4]byte{255, 255, 255, 255}}
		_ = unix.Sendto(fd, []byte("chatter"), 0, to) // what is dropped may be refused at once
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// send is one syslog datagram from the endpoint.
func (p plant) send(t *testing.T, text string) {
	t.Helper()
	err := p.endpoint.Do(func() error {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "udp", netip.AddrPortFrom(serviceAddr().Addr(), syslogPort).String())
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c, "<14>1 - - package-test - - - %s", text)
		_ = c.Close() // what was refused was refused by nobody listening yet
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// arrives sends until the record is in the file, because a datagram that
// nobody listens for is lost.
func (m *machine) arrives(p plant, text string) {
	m.t.Helper()
	m.await("record of "+text, func() bool {
		p.send(m.t, text)
		data, _ := os.ReadFile(filepath.Join(m.root, "var/lib/sluice/out/records.ndjson"))
		return strings.Contains(string(data), text)
	})
}

// TestInstallBootAndRemove is the life of the package on one machine.
func TestInstallBootAndRemove(t *testing.T) {
	wanted(t)
	netlab.Require(t)
	root := fresh(t)
	install(t, root)
	p := newPlant(t)
	m := boot(t, root, p.node)
	directories(t, m)
	nothingRuns(t, m)
	witness := p.mirror.Watch("peer0")
	p.talk(t)
	eventually(t, "the witness to see a frame before the guard is there", func() bool { return witness.Count() > 0 })

	write(t, filepath.Join(root, "etc/sluice/conf.d/site.hcl"), configuration, 0o644)
	m.run("systemctl", "enable", "--now", "sluice.service")
	m.await("the node to be ready", m.ready)
	m.arrives(p, "first")
	t.Run("privileges", func(t *testing.T) { privileges(t, m) })
	t.Run("silence", func(t *testing.T) { silence(t, m, p) })
	t.Run("weakened", func(t *testing.T) { weakened(t, m, p) })
	t.Run("guard killed", func(t *testing.T) { guardKilled(t, m, p) })
	t.Run("guard stopped", func(t *testing.T) { guardStopped(t, m, p) })
	t.Run("core killed", func(t *testing.T) { coreKilled(t, m, p) })
	t.Run("upgrade", func(t *testing.T) { upgrade(t, m, p) })
	m.off()
	p = newPlant(t)
	m = boot(t, root, p.node)
	t.Run("reboot", func(t *testing.T) { rebooted(t, m, p) })
	t.Run("isolated", func(t *testing.T) { isolated(t, m, p) })
	t.Run("removal", func(t *testing.T) { removal(t, m) })
}

// install puts the package into a root where nothing runs, without /proc, as
// an image is built.
func install(t *testing.T, root string) {
	t.Helper()
	carry(t, root)
	inRoot(t, root, "dpkg", "--install", "/root/sluice.deb")
	inRoot(t, root, "getent", "passwd", "sluice-plugin")
	for line := range strings.Lines(output(t, commandWithin, "systemd-analyze", "verify", "--man=no", "--root="+root, "sluice.service", "sluice-guard.service")) {
		if line = strings.TrimSpace(line); !accepted(line) && strings.Contains(line, "sluice") {
			t.Error(line)
		}
	}
}

// carry copies the package to /root/sluice.deb.
func carry(t *testing.T, root string) {
	t.Helper()
	data, err := os.ReadFile(built(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "root/sluice.deb"), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// directories checks what was made at boot at the latest.
func directories(t *testing.T, m *machine) {
	t.Helper()
	for path, want := range map[string]string{
		"/var/lib/sluice":       "700 sluice sluice",
		"/var/lib/sluice-guard": "700 sluice-guard sluice-guard",
		"/run/sluice":           "750 sluice-guard sluice",
		"/etc/sluice/conf.d":    "755 root root",
	} {
		if got := m.run("stat", "--format=%a %U %G", path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// nothingRuns checks that the package alone starts nothing, also not when it
// is asked to.
func nothingRuns(t *testing.T, m *machine) {
	t.Helper()
	for _, unit := range []string{"sluice.service", "sluice-guard.service"} {
		if state, _ := m.try("systemctl", "is-enabled", unit); state != "disabled" {
			t.Errorf("%s is %s", unit, state)
		}
	}
	m.run("systemctl", "start", "sluice.service")
	if state, _ := m.try("systemctl", "is-active", "sluice.service"); state != "inactive" {
		t.Errorf("the gateway is %s without a configuration", state)
	}
	m.run("systemctl", "stop", "sluice-guard.service")
}

// standing is what the tests read of `sluice status --json`.
type standing struct {
	Ready bool `json:"ready"`
	Guard struct {
		State  string `json:"state"`
		Warden *struct {
			PID   int  `json:"pid"`
			Known bool `json:"known"`
		} `json:"warden"`
	} `json:"guard"`
	Receivers []component `json:"receivers"`
	Sinks     []component `json:"sinks"`
}

// component is a receiver or sink with the process behind it.
type component struct {
	Name   string `json:"name"`
	Plugin struct {
		PID         int      `json:"pid"`
		Confinement []string `json:"confinement"`
		Missing     []string `json:"missing"`
	} `json:"plugin"`
}

func (m *machine) standing() (s standing, err error) {
	out, err := m.try("sluice", "status", "--json")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal([]byte(out), &s)
}

func (m *machine) ready() bool {
	s, err := m.standing()
	return err == nil && s.Ready
}
