package netlab_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/test/netlab"
)

const linkPort = 5760

// through sends numbered datagrams over the link and returns the numbers that
// came out, until want came or none did for a second.
func through(t *testing.T, k *netlab.Link, n, want int) []uint32 {
	t.Helper()
	var near, far *net.UDPConn
	dst := net.UDPAddrFromAddrPort(netip.AddrPortFrom(k.FarAddr, linkPort))
	must(t, k.Far.Do(func() (err error) { far, err = net.ListenUDP("udp", dst); return err }))
	must(t, k.Near.Do(func() (err error) { near, err = net.DialUDP("udp", nil, dst); return err }))
	defer func() { _, _ = near.Close(), far.Close() }()
	must(t, far.SetReadBuffer(1<<20))
	for i := range uint32(n) {
		if _, err := near.Write(binary.BigEndian.AppendUint32(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	var got []uint32
	for b := make([]byte, 64); len(got) < want; {
		must(t, far.SetReadDeadline(time.Now().Add(time.Second)))
		m, err := far.Read(b)
		if err != nil {
			break
		}
		got = append(got, binary.BigEndian.Uint32(b[:m]))
	}
	return got
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLinkFaults(t *testing.T) {
	const n = 500
	for name, c := range map[string]struct {
		faults        netlab.Faults
		lost, doubled [2]uint64 // at least, at most
	}{
		"none":   {},
		"cut":    {netlab.Faults{Cut: true}, [2]uint64{n, n}, [2]uint64{}},
		"first":  {netlab.Faults{First: 100}, [2]uint64{100, 100}, [2]uint64{}},
		"bursts": {netlab.Faults{Burst: 10, Every: 100}, [2]uint64{50, 50}, [2]uint64{}},
		"lossy":  {netlab.Faults{Lose: 20}, [2]uint64{40, 200}, [2]uint64{}},
		"double": {netlab.Faults{Double: 20}, [2]uint64{}, [2]uint64{40, 200}},
	} {
		for _, v6 := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				k := netlab.NewLink(t, netlab.LinkOptions{IPv6: v6})
				k.Set(c.faults)
				got := through(t, k, n, n+int(c.doubled[1]))
				seen := k.Counts()
				if seen.Seen != n || seen.Lost < c.lost[0] || seen.Lost > c.lost[1] || seen.Doubled < c.doubled[0] || seen.Doubled > c.doubled[1] {
					t.Errorf("counters: %+v", seen)
				}
				if uint64(len(got)) != n-seen.Lost+seen.Doubled {
					t.Errorf("%d datagrams came out, counters: %+v", len(got), seen)
				}
			})
		}
	}
}

func TestLinkShuffle(t *testing.T) {
	const n = 400
	k := netlab.NewLink(t, netlab.LinkOptions{MTU: 9000})
	k.Shuffle(1, 20, 8)
	got := through(t, k, n, n)
	if len(got) != n {
		t.Fatalf("%d of %d came out", len(got), n)
	}
	behind, top := 0, uint32(0)
	for _, v := range got {
		if v < top {
			behind++
		}
		top = max(top, v)
	}
	if behind < n/20 {
		t.Errorf("only %d of %d were overtaken", behind, n)
	}
}
