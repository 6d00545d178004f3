package recv_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/linktest"
	"github.com/sluice-gateway/sluice/diode/recv"
)

// of is a batch of an epoch.
func of(e byte, seq uint64) diode.Batch {
	b := batch(seq)
	b.Epoch = epoch(e)
	return b
}

// What the far side had to give up is delivered again, once.
func TestWhatWasGivenUpIsMissingAgain(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1), batch(2), batch(3))
		after(time.Millisecond)
		for range 2 {
			x.rx.Missing(of(1, 2).BatchID)
		}
		x.rx.Missing(of(1, 9).BatchID) // never came
		for range 2 {
			n.send(batch(1), batch(2))
		}
		n.send(batch(4))
		after(time.Millisecond)
		x.expect("1, 2, 3, late 2, 4")
	})
}

// A restart knows the gaps of epochs that are over, and takes nothing else of them for missing.
func TestAGapOfAnEpochThatIsOverIsFilledAfterARestart(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		link, sink := linktest.New(1, linktest.Faults{}), linktest.NewSink()
		c := config(link, sink, dir)
		c.Positions = []diode.Position{{Epoch: epoch(2), Seq: 20, SumAfter: 200}}
		c.Open = []diode.Gap{{Epoch: epoch(1), First: 3, Last: 5}, {Epoch: epoch(1), First: 8, Last: 8}, {Epoch: epoch(1), First: 12}}
		rx, stop := run(t, c)
		x := &far{t: t, link: link, sink: sink, rx: rx, stop: stop}
		n := newNear(t, link, pairing(1, 1), 100, diode.Epoch{ID: epoch(2), Start: 14, StartSum: 130, Prev: epoch(1)})
		n.announce()
		n.beat()
		after(time.Millisecond)
		for _, seq := range []uint64{2, 4, 4, 6, 8, 10, 12} {
			n.send(of(1, seq))
		}
		n.send(of(2, 21))
		after(time.Millisecond)
		rx.Missing(of(1, 6).BatchID)
		n.send(of(1, 6))
		after(time.Millisecond)
		x.expect("late 4, late 8, late 12, 21, late 6")
		stop()
	})
}

// A connection that is closed is opened again, and what waits does not notice.
func TestAPathIsOpenedAgain(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var opened []*linktest.Link
		sink := linktest.NewSink()
		c := config(nil, sink, dir)
		c.Paths[0].Conn = nil
		c.Paths[0].Open = func(context.Context) (recv.PacketReader, error) {
			if len(opened) == 1 {
				opened = append(opened, nil)
				return nil, errors.New("no such interface")
			}
			opened = append(opened, linktest.New(1, linktest.Faults{}))
			return opened[len(opened)-1], nil
		}
		rx, stop := run(t, c)
		after(time.Millisecond)
		x := &far{t: t, link: opened[0], sink: sink, rx: rx, stop: stop}
		n := newNear(t, opened[0], pairing(1, 1), 100, first(1))
		n.announce()
		n.beat()
		n.send(batch(1))
		n.follow(3)
		after(time.Millisecond)
		if err := opened[0].Close(); err != nil {
			t.Fatal(err)
		}
		after(300 * time.Millisecond)
		n.link = opened[2]
		n.send(batch(2))
		after(time.Millisecond)
		x.expect("1, 2, 3")
		stop()
	})
}
