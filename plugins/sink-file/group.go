package sinkfile

import (
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

// groupBytes ends a group (ours: enough that fsync does not dominate, little enough to hold in memory while the disk
// is full).
const groupBytes = 4 << 20

// group is the deliveries that share one write, one fsync and one acknowledgement.
type group struct {
	known   *seen
	decoder sdk.Decoder

	lines    []byte
	records  int
	repeated int
	through  uint64
	rejected []sdk.Rejection
}

func (g *group) reset() {
	if cap(g.lines) > 4*groupBytes {
		g.lines = nil // one delivery of control characters must not be remembered for ever
	}
	g.lines, g.rejected, g.records, g.repeated = g.lines[:0], g.rejected[:0], 0, 0
}

func (g *group) full() bool { return len(g.lines) >= groupBytes }

// add encodes a delivery. What cannot be decoded is rejected: the records before it are good.
func (g *group) add(d sdk.Delivery, now time.Time) {
	g.through = d.Number
	head, err := g.decoder.Open(d.Data)
	if err != nil {
		g.reject(d.Number, 0, err)
		return
	}
	l := newLine(head.Receiver, now, d.Late)
	var r sdk.Record
	for n := uint32(0); ; n++ {
		ok, err := g.decoder.Next(&r)
		if err != nil {
			g.reject(d.Number, min(n, head.Count-1), err)
			return
		}
		if !ok {
			return
		}
		if g.known.has(r.ID) {
			g.repeated++
			continue
		}
		g.lines = l.append(g.lines, &r)
		g.records++
	}
}

// reject says that a record, and with it all that follow in its batch, cannot be read.
func (g *group) reject(delivery uint64, record uint32, err error) {
	g.rejected = append(g.rejected, sdk.Rejection{Number: delivery, Record: record, Err: &sdk.Error{
		Code: sdk.CodeInternal, Detail: fmt.Sprintf("this record and those behind it in its batch cannot be read: %v", err),
	}})
}
