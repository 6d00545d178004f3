package netlab_test

import (
	"bytes"
	"testing"

	"github.com/google/gopacket"

	"github.com/sluice-gateway/sluice/test/netlab"
)

// TestFramesByEveryWay sends frames by each way that a frame can be sent
// without an address, and sees that the witness sees them.
func TestFramesByEveryWay(t *testing.T) {
	lab := netlab.New(t)
	a, b := lab.Namespace("a"), lab.Namespace("b")
	lab.Cable(netlab.End{In: a, Name: "eth0"}, netlab.End{In: b, Name: "eth0"})
	w := b.Watch("eth0")
	for i, send := range []func(frame []byte) error{
		func(f []byte) error { _, err := a.Inject("eth0", false, f, f); return err },
		func(f []byte) error { _, err := a.Inject("eth0", true, f, f); return err },
		func(f []byte) error { return a.TransmitXDP("eth0", f, f) },
	} {
		frame := append(bytes.Repeat([]byte{0xff}, 6), 2, 0, 0, 0, 0, 1, 0x88, 0xb5, byte(i))
		frame = append(frame, make([]byte, 50)...)
		count := w.CountIf(func(p gopacket.Packet) bool { return bytes.Equal(p.Data(), frame) })
		must(t, send(frame))
		until(t, "the witness saw both", func() bool { return count() == 2 })
	}
}
