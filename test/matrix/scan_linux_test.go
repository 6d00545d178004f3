package matrix_test

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// scanned are the ports that nmap asks for: all well-known ones, and the
// receivers'.
const scanned = "1-1024,5201-5205"

// TestScanByNmap scans a whole guarded node from the monitored network, over
// IPv4 and IPv6, with the scanner's own and with spoofed sources. The same scan
// from the endpoint is the positive control.
func TestScanByNmap(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("nmap"); err != nil {
		t.Skip("nmap is not installed (apt-get install nmap)")
	}
	s := newStation(t)
	if s == nil {
		return
	}
	p := guard.Policy{Node: "matrix", Monitoring: only(guarded), Ports: []guard.Port{{Network: "tcp", Port: oursPort}, {Network: "udp", Port: oursPort}}}
	w := guarding(t, s.Self(), p)
	s.start(p, guard.Options{Fence: w.client, Opener: w.client})
	s.arrives("before")
	s.open() // somebody else's sockets, bound in every other way
	s.leadTo(netlab.PlantAddr().Addr(), netlab.PlantAddr6().Addr())
	seen := s.monitor.Watch(outside)
	before := received(s.Self(), guarded)
	for _, args := range []string{
		"-sS", "-sS -D " + spoofed().String() + "," + netlab.EndpointAddr().Addr().String() + ",ME", "-sU --top-ports 50", "-sO", "-sA",
		"-6 -sS", "-6 -sS -S " + spoofed6().String() + " -e " + outside, "-6 -sU --top-ports 50",
	} {
		target := netlab.PlantAddr().Addr()
		if strings.Contains(args, "-6") {
			target = netlab.PlantAddr6().Addr()
		}
		out := s.nmap(s.monitor, args, target.String())
		for _, answered := range []string{"/open/", "/closed/", "/unfiltered/"} {
			if n := strings.Count(out, answered); n > 0 {
				t.Errorf("nmap %s: %d ports are %s\n%s", args, n, strings.Trim(answered, "/"), out)
			}
		}
	}
	t.Logf("%d frames arrived, %d left", received(s.Self(), guarded)-before, seen.Count())
	if n := received(s.Self(), guarded) - before; n < 1000 {
		t.Errorf("only %d frames of the scans arrived", n)
	}
	s.unharmed(w, seen)
	if out := s.nmap(s.endpoint, "-sS", netlab.PlantAddr().Addr().String()); !strings.Contains(out, "5201/open/") {
		t.Errorf("the control found no open port:\n%s", out)
	}
	s.arrives("after")
}

// unharmed wants nothing sent, accepted or tripped.
func (s *station) unharmed(w *watched, seen *netlab.Witness) {
	s.Helper()
	if n := seen.Count(); n > 0 {
		s.Errorf("%d frames left: %v", n, seen.Frames()[0])
	}
	for _, port := range []uint16{oursPort, wildcardPort, devicePort, addressPort} {
		if n := s.count(port, "connection") + halfOpen(port); n > 0 {
			s.Errorf("port %d: %d connections", port, n)
		}
	}
	if cause, yes := w.tripped(); yes {
		s.Errorf("tripped: %s", cause)
	}
	if b := w.client.Standing().Barriers; len(b) != 1 || b[0].Sent != 0 {
		s.Errorf("barriers %+v", b)
	}
}

// leadTo makes the node's guarded interface the attacker's way to addresses,
// so that he needs no answer to find it.
func (s *station) leadTo(addrs ...netip.Addr) {
	s.Helper()
	for _, a := range addrs {
		router := netip.MustParseAddr("10.66.0.9")
		if a.Is6() {
			router = netip.MustParseAddr("fd00:66::9")
		}
		s.monitor.IP("neighbour", "replace", router.String(), "lladdr", nodeMAC, "dev", outside, "nud", "permanent")
		s.monitor.IP("route", "replace", a.String(), "via", router.String())
	}
}

// nmap returns what nmap found, in its format for grep.
func (s *station) nmap(from *netlab.Namespace, args, target string) string {
	s.Helper()
	all := strings.Fields("-n -Pn -T5 --max-retries 0 --min-rate 5000 --host-timeout 20s -v -oG - " + args + " " + target)
	if !strings.Contains(args, "-sO") && !strings.Contains(args, "--top-ports") {
		all = append([]string{"-p", scanned}, all...)
	}
	if strings.Contains(args, "-6") {
		all = append([]string{"--send-ip"}, all...)
	}
	out, err := from.Command(s.Context(), "nmap", all...).CombinedOutput()
	if err != nil {
		s.Fatalf("nmap %s: %v: %s", strings.Join(all, " "), err, out)
	}
	return string(out)
}
