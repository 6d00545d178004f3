package capture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzBlock reads frames out of a block with any content: the kernel writes
// it, but nothing is read outside of it.
func FuzzBlock(f *testing.F) {
	f.Add(make([]byte, 256), 48, true)
	f.Fuzz(func(t *testing.T, content []byte, first int, header bool) {
		b := make(block, blockBytes)
		copy(b, content)
		vnet := 0
		if header {
			vnet = vnetBytes
		}
		for off, left := first, 100; left > 0; left-- {
			c, next, ok := b.frame(off, vnet)
			if !ok {
				return
			}
			if len(c.data) > len(b) {
				t.Fatal("a frame larger than its block")
			}
			off = next
		}
	})
}

// put writes a frame as the kernel does, with the virtio header before it.
func (b block) put(off, next int, status uint32, pkttype byte, wire int, gsoType byte, gsoSize uint16, data []byte) {
	const start = headBytes + vnetBytes + 6 // anywhere behind
	head := b[off:]
	binary.NativeEndian.PutUint32(head[offNext:], uint32(next))
	binary.NativeEndian.PutUint32(head[offSnaplen:], uint32(len(data)))
	binary.NativeEndian.PutUint32(head[offLen:], uint32(wire))
	binary.NativeEndian.PutUint32(head[offStatus:], status)
	binary.NativeEndian.PutUint16(head[offMac:], start)
	head[offPkttype] = pkttype
	head[start-vnetBytes+offGSOType] = gsoType
	binary.NativeEndian.PutUint16(head[start-vnetBytes+offGSOSize:], gsoSize)
	copy(head[start:], data)
}

// TestFrames reads what the kernel may say of a frame.
func TestFrames(t *testing.T) {
	data := bytes.Repeat([]byte{7}, 60)
	plain := captured{data: data, whole: true}
	with := func(f func(c *captured)) captured { c := plain; f(&c); return c }
	for _, c := range []struct {
		name    string
		status  uint32
		pkttype byte
		wire    int
		gsoType byte
		gsoSize uint16
		want    captured
	}{
		{name: "plain", wire: 60, want: plain},
		{name: "sum valid", status: unix.TP_STATUS_CSUM_VALID, wire: 60, want: with(func(c *captured) { c.summed = true })},
		{name: "sum not ready", status: unix.TP_STATUS_CSUMNOTREADY, wire: 60, want: with(func(c *captured) { c.summed = true })},
		{name: "losing", status: unix.TP_STATUS_LOSING, wire: 60, want: plain},
		{name: "other host", pkttype: unix.PACKET_OTHERHOST, wire: 60, want: with(func(c *captured) { c.other = true })},
		{name: "broadcast", pkttype: unix.PACKET_BROADCAST, wire: 60, want: plain},
		{name: "cut short", wire: 61, want: with(func(c *captured) { c.whole = false })},
		{name: "merged", wire: 60, gsoType: gsoUDP, gsoSize: 20, want: with(func(c *captured) { c.segment = 20 })},
		{name: "merged, with a flag", wire: 60, gsoType: gsoUDP | gsoECN, gsoSize: 20, want: with(func(c *captured) { c.segment = 20 })},
		{name: "merged TCP", wire: 60, gsoType: 1, gsoSize: 20, want: with(func(c *captured) { c.whole = false })},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := make(block, 1024)
			b.put(48, 256, c.status, c.pkttype, c.wire, c.gsoType, c.gsoSize, data)
			got, next, ok := b.frame(48, vnetBytes)
			if !ok || next != 48+256 || !bytes.Equal(got.data, c.want.data) {
				t.Fatalf("%+v, next %d, %v", got, next, ok)
			}
			if got.data = c.want.data; fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

// TestContradictions: nothing outside of the block is read.
func TestContradictions(t *testing.T) {
	for name, spoil := range map[string]func(b block) (off int){
		"before the block": func(block) int { return -1 },
		"behind the block": func(b block) int { return len(b) },
		"header cut":       func(b block) int { return len(b) - headBytes + 1 },
		"data too long": func(b block) int {
			binary.NativeEndian.PutUint32(b[48+offSnaplen:], uint32(len(b)))
			return 48
		},
		"data in the header": func(b block) int {
			binary.NativeEndian.PutUint16(b[48+offMac:], headBytes)
			return 48
		},
	} {
		b := make(block, 1024)
		b.put(48, 0, 0, 0, 10, 0, 0, make([]byte, 10))
		if _, _, ok := b.frame(spoil(b), vnetBytes); ok {
			t.Errorf("%s: accepted", name)
		}
	}
}
