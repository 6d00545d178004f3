package e2e_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/test/netlab"
)

// TestMonitoringPointIsNotAWayIn attacks from the monitored network: nothing that listens may be reached, also under
// the node's other addresses (the weak host model of Linux would let it), and nothing at all may come out there, not even
// what another program on the node sends.
func TestMonitoringPointIsNotAWayIn(t *testing.T) {
	p := newPair(t, link{rate: "100Mbit", parity: "25%", designLoss: "1%"})
	witness := p.site.Monitor.Watch(netlab.PeerInterface)
	control(t, p, witness, "before")
	p.start()
	silence := fromPlant(t, p, witness)
	service := netlab.PlantAddr().Addr()
	// The attacker knows the way: its route to the service address leads into the monitoring point.
	p.site.Monitor.Run("ip", "route", "replace", service.String()+"/32", "dev", netlab.PeerInterface)
	p.site.Monitor.StaticNeighbour(netlab.PeerInterface, service, p.site.Plant.MAC(netlab.PlantMonitoring))
	before := p.plant.status()
	for _, port := range []uint16{6514, 20001, 20002, 5514, 5760} {
		attack(t, p.site.Monitor, netip.AddrPortFrom(service, port))
	}
	// The same from the endpoint does arrive, so the ports are open and the attack is a fair one.
	sendPaced(t, p.site.Endpoint, netip.AddrPortFrom(service, 20001), 1000, [][]byte{[]byte("from the endpoint")})
	p.plant.eventually("the endpoint's datagram", func() bool { return receiverRecords(p.plant, "udp.agents-a") == 1 })
	after := p.plant.status()
	for i, r := range after.Receivers {
		if r.Name != "udp.agents-a" && r.Records != before.Receivers[i].Records {
			t.Errorf("%s took %d records from the monitored network", r.Name, r.Records-before.Receivers[i].Records)
		}
		if r.Traffic.Accepted != before.Receivers[i].Traffic.Accepted {
			t.Errorf("%s accepted a connection from the monitored network", r.Name)
		}
	}
	for _, i := range after.Guard.Interfaces {
		if i.Name == netlab.PlantMonitoring && i.Role != "monitoring" {
			t.Errorf("%s has role %s", i.Name, i.Role)
		}
	}
	sendFromMonitoringPoint(t, p, "while it is fenced")
	p.stop()
	p.plant.sluice("guard", "release", "--node", "plant", "--reason", "the test ends")
	control(t, p, witness, "after") // what came before it has been seen by then
	if left := fromPlant(t, p, witness) - silence; left != 1 {
		for _, frame := range witness.Frames() {
			t.Log(frame)
		}
		t.Errorf("%d frames left the monitoring point, want the last one alone", left)
	}
}

func receiverRecords(n *node, name string) uint64 {
	for _, r := range n.tryStatus().Receivers {
		if r.Name == name {
			return r.Records
		}
	}
	return 0
}

// attack sends a datagram and tries to connect.
func attack(t *testing.T, ns *netlab.Namespace, target netip.AddrPort) {
	t.Helper()
	err := ns.Do(func() error {
		u, err := (&net.Dialer{}).DialContext(t.Context(), "udp", target.String())
		if err != nil {
			return err
		}
		defer u.Close() //nolint:errcheck // a datagram socket
		for i := range 5 {
			_, _ = fmt.Fprintf(u, "from the monitored network %d", i)
		}
		d := net.Dialer{Timeout: 300 * time.Millisecond}
		if c, err := d.DialContext(t.Context(), "tcp", target.String()); err == nil {
			_ = c.Close()
			t.Errorf("a connection to %s succeeded from the monitored network", target)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// control sends from the monitoring point and waits for the datagram, to show that the witness sees frames.
func control(t *testing.T, p *pair, w *netlab.Witness, payload string) {
	t.Helper()
	count := w.CountIf(func(frame gopacket.Packet) bool {
		u, ok := frame.TransportLayer().(*layers.UDP)
		return ok && string(u.Payload) == payload
	})
	sendFromMonitoringPoint(t, p, payload)
	eventually(t, "the witness sees frames", patience, func() bool { return count() > 0 }, func() string { return payload })
}

// fromPlant counts the frames that the monitoring point has sent.
func fromPlant(t *testing.T, p *pair, w *netlab.Witness) int {
	t.Helper()
	mac := p.site.Plant.MAC(netlab.PlantMonitoring)
	n := 0
	for _, frame := range w.Frames() {
		if e, ok := frame.LinkLayer().(*layers.Ethernet); ok && e.SrcMAC.String() == mac {
			n++
		}
	}
	return n
}

// sendFromMonitoringPoint sends what no process of ours sends, as another program on the node may.
func sendFromMonitoringPoint(t *testing.T, p *pair, payload string) {
	t.Helper()
	err := p.site.Plant.Do(func() error {
		lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
			var serr error
			err := raw.Control(func(fd uintptr) {
				serr = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1),
					unix.BindToDevice(int(fd), netlab.PlantMonitoring))
			})
			return errors.Join(err, serr)
		}}
		c, err := lc.ListenPacket(t.Context(), "udp4", "0.0.0.0:0")
		if err != nil {
			return err
		}
		defer c.Close() //nolint:errcheck // a datagram socket
		_, err = c.WriteTo([]byte(payload), &net.UDPAddr{IP: net.IPv4bcast, Port: 9})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
