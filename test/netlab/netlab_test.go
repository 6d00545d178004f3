package netlab_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/test/netlab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNamespacesVanish(t *testing.T) {
	netlab.Require(t)
	var path string
	t.Run("inner", func(t *testing.T) {
		n := netlab.New(t).Namespace("a")
		path = n.Path()
		// Its context lives on: it must outlive the test, for the lab to kill.
		if err := n.Command(context.Background(), "sleep", "600").Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := os.Stat(path); err == nil {
		t.Errorf("%s is still there", path)
	}
}

// TestLeftoversVanish makes a namespace as a killed run of this test would
// have left it.
func TestLeftoversVanish(t *testing.T) {
	name := netlab.New(t).Namespace("a").Name
	dead := exec.CommandContext(t.Context(), "true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(name, "-")
	old := fmt.Sprintf("%s-%d-1-a", parts[0], dead.Process.Pid)
	if out, err := exec.CommandContext(t.Context(), "ip", "netns", "add", old).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	netlab.New(t)
	if _, err := os.Stat("/run/netns/" + old); err == nil {
		t.Errorf("%s is still there", old)
	}
	if _, err := os.Stat("/run/netns/" + name); err != nil {
		t.Errorf("the namespace of a living process is gone: %v", err)
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not after 10 s: %s", what)
		}
	}
}

// listen opens a UDP socket in a namespace.
func listen(t *testing.T, n *netlab.Namespace, at netip.AddrPort) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	err := n.Do(func() (err error) {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetReadBuffer(8 << 20); err != nil {
		t.Fatal(err)
	}
	return c
}

func dial(t *testing.T, n *netlab.Namespace, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	err := n.Do(func() (err error) {
		c, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestSiteCarriesOneWay(t *testing.T) {
	s := netlab.NewSite(t)
	at := netip.AddrPortFrom(netlab.DMZDiodeAddr().Addr(), 5760)
	rx, tx := listen(t, s.DMZ, at), dial(t, s.Plant, at)
	seen := s.DMZ.Watch(netlab.DMZDiode)
	count := seen.CountIf(netlab.ToPort(5760))
	back := s.Plant.Watch(netlab.PlantDiode)
	if _, err := tx.Write([]byte("there")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	n, from, err := rx.ReadFromUDPAddrPort(buf)
	if err != nil || string(buf[:n]) != "there" {
		t.Fatalf("got %q, %v", buf[:n], err)
	}
	until(t, "the witness saw the frame", func() bool { return count() == 1 })
	if seen.Count() < 1 || len(seen.Frames()) < 1 {
		t.Errorf("the witness saw %d frames", seen.Count())
	}
	_, _ = rx.WriteToUDPAddrPort([]byte("back"), from) // dropped on egress: the error, if any, is the drop
	s.DMZ.Run("nft", "delete", "table", "netdev", "diode")
	_, _ = rx.WriteToUDPAddrPort([]byte("back"), from)
	if c := s.Link.Counts(); c.Seen < 1 || c.Returned != 1 {
		t.Errorf("counts %+v, want one frame returned, after the first barrier is gone", c)
	}
	if back.Count() != 0 {
		t.Errorf("%d frames came back", back.Count())
	}
}

func TestSiteReaches(t *testing.T) {
	s := netlab.NewSite(t)
	for _, c := range []struct {
		from, at *netlab.Namespace
		addr     netip.Prefix
	}{{s.Endpoint, s.Plant, netlab.PlantAddr()}, {s.Endpoint, s.Plant, netlab.PlantAddr6()}, {s.DMZ, s.KICS, netlab.KICSAddr()}} {
		at := netip.AddrPortFrom(c.addr.Addr(), 514)
		rx, tx := listen(t, c.at, at), dial(t, c.from, at)
		if _, err := tx.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := rx.Read(make([]byte, 8)); err != nil {
			t.Error(err)
		}
	}
}

// TestLossIsIndependent sends numbered datagrams in bursts of forty, as
// segmentation offload would, and checks that they are not lost in bursts.
func TestLossIsIndependent(t *testing.T) {
	const sent, percent = 20000, 5.0
	s := netlab.NewSite(t)
	s.Link.Lose(percent)
	at := netip.AddrPortFrom(netlab.DMZDiodeAddr().Addr(), 5760)
	rx, tx := listen(t, s.DMZ, at), dial(t, s.Plant, at)
	lost := make([]bool, sent)
	for i := range lost {
		lost[i] = true
	}
	done := make(chan int)
	go func() { done <- collect(rx, lost) }()
	msg := make([]byte, 100)
	for i := range uint32(sent) {
		binary.BigEndian.PutUint32(msg, i)
		if _, err := tx.Write(msg); err != nil {
			t.Fatal(err)
		}
	}
	if err := rx.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		t.Fatal(err)
	}
	got := <-done
	c := s.Link.Counts()
	t.Logf("sent %d, received %d, counters %+v, mean run of lost %.3f", sent, got, c, netlab.MeanRun(lost))
	if c.Seen != sent || uint64(sent-got) != c.Lost {
		t.Errorf("counters %+v do not fit %d received", c, got)
	}
	if rate := 100 * float64(c.Lost) / sent; rate < percent*0.8 || rate > percent*1.2 {
		t.Errorf("lost %.2f %%, want about %.0f %%", rate, percent)
	}
	if run := netlab.MeanRun(lost); run < 1 || run > 1.15 {
		t.Errorf("mean run of lost frames %.2f, want about %.2f", run, 1/(1-percent/100))
	}
}

func collect(rx *net.UDPConn, lost []bool) int {
	buf, got := make([]byte, 2048), 0
	for {
		n, err := rx.Read(buf)
		if err != nil {
			return got
		}
		if i := int(binary.BigEndian.Uint32(buf[:n])); i < len(lost) && lost[i] {
			lost[i] = false
			got++
		}
	}
}

func TestIsolate(t *testing.T) {
	l := netlab.Isolate(t)
	if l == nil {
		return
	}
	ifaces, err := net.Interfaces()
	if err != nil || len(ifaces) != 1 {
		t.Fatalf("interfaces %v, %v: want only lo", ifaces, err)
	}
	l.Cable(netlab.End{In: l.Self(), Name: "svc0"}, netlab.End{In: l.Namespace("peer"), Name: "eth0"})
	if _, err := net.InterfaceByName("svc0"); err != nil {
		t.Error(err)
	}
}

func TestMeanRun(t *testing.T) {
	for _, c := range []struct {
		lost string
		want float64
	}{{"", 0}, {"....", 0}, {"x.x.", 1}, {"xx.x", 1.5}, {"xxxx", 4}} {
		in := make([]bool, len(c.lost))
		for i := range in {
			in[i] = c.lost[i] == 'x'
		}
		if got := netlab.MeanRun(in); got != c.want {
			t.Errorf("%q: %v, want %v", c.lost, got, c.want)
		}
	}
}
