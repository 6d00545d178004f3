package recv_test

import (
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
)

// other is batch seq with another content, as a near side gives it that forgot
// the first one.
func other(seq uint64) diode.Batch {
	b := batch(seq)
	b.Data = append([]byte("another "), b.Data...)
	return b
}

// A near side restored from a backup gives known sequences to other batches:
// all of them are delivered, and what is lost of them is named.
func TestSpoolThatWentBack(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1), batch(2), batch(3), batch(4), batch(5), batch(6))
		after(time.Second)
		m := newNear(t, x.link, n.key, 101, n.epoch)
		m.announce()
		m.beat(frame.Series{First: 1, Accepted: 2, AcceptedSum: 20})
		m.send(batch(2), other(3))
		after(time.Millisecond)
		x.expect("1, 2, 3, 4, 5, 6, late 3")
		if st := x.rx.Stats(); st.SpoolWentBack != 1 || st.Duplicates != 1 || st.Conflicts != 1 {
			t.Errorf("%+v", st)
		}
		m.frames(other(4)) // lost
		m.send(other(5), other(6), other(7))
		m.beat(frame.Series{First: 1, Sent: 7, SentSum: 70, Accepted: 7, AcceptedSum: 70})
		after(1200 * time.Millisecond)
		m.alive(time.Second)
		x.expect("1, 2, 3, 4, 5, 6, late 3, late 5, late 6, 7, gap 4-4 weight unknown link")
		m.send(other(4))
		m.send(other(4))
		after(time.Millisecond)
		x.expect("1, 2, 3, 4, 5, 6, late 3, late 5, late 6, 7, gap 4-4 weight unknown link, late 4")
	})
}

// A sender that went back and is then restarted still has to send what it gave
// known sequences to, or its loss is named.
func TestSpoolThatWentBackAndSenderRestarted(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1), batch(2), batch(3), batch(4), batch(5))
		after(time.Second)
		m := newNear(t, x.link, n.key, 101, n.epoch)
		m.announce()
		m.beat(frame.Series{First: 1, Accepted: 1, AcceptedSum: 10})
		m.send(other(2))
		after(time.Second)
		o := newNear(t, x.link, n.key, 102, n.epoch)
		o.announce()
		o.beat(frame.Series{First: 1, Sent: 4, SentSum: 40, Accepted: 4, AcceptedSum: 40})
		after(1200 * time.Millisecond)
		o.alive(time.Second)
		x.expect("1, 2, 3, 4, 5, late 2, gap 3-4 weight unknown link")
	})
}

// What waited of a sender that fell silent stands before what its restored
// successor says.
func TestSpoolThatWentBackBehindABlockThatWaits(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1))
		n.frames(batch(2)) // lost
		n.send(batch(3))
		after(time.Second)
		x.expect("1")
		m := newNear(t, x.link, n.key, 101, n.epoch)
		m.announce()
		m.beat(frame.Series{First: 1, Accepted: 1, AcceptedSum: 10})
		after(time.Millisecond)
		x.expect("1, gap 2-2 weight 10 link, 3")
		m.beat(frame.Series{First: 1, Sent: 3, SentSum: 30, Accepted: 3, AcceptedSum: 30})
		after(1200 * time.Millisecond)
		m.alive(time.Second)
		x.expect("1, gap 2-2 weight 10 link, 3, gap 2-3 weight unknown link")
		if st := x.rx.Stats(); st.SpoolWentBack != 1 {
			t.Errorf("%d", st.SpoolWentBack)
		}
	})
}

// What a hole behind known sequences held is not known before the running sum
// is the sender's again.
func TestWeightOfAHoleAfterTheSpoolWentBack(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1), batch(2), batch(3))
		after(time.Second)
		m := newNear(t, x.link, n.key, 101, n.epoch)
		m.announce()
		m.beat(frame.Series{First: 1, Accepted: 1, AcceptedSum: 10})
		m.send(other(2), other(3))
		m.frames(other(4)) // lost
		m.send(other(5))
		m.frames(other(6)) // lost
		m.send(other(7))
		m.alive(time.Second)
		x.expect("1, 2, 3, late 2, late 3, gap 4-4 weight unknown link, 5, gap 6-6 weight 10 link, 7")
	})
}

// After a restart the far side knows positions only: it delivers twice rather
// than dropping what it has not seen.
func TestSpoolThatWentBackAndReceiverRestarted(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(x *far, n *near) {
		after(time.Millisecond)
		x.stop()
		c := config(x.link, x.sink, dir)
		c.Positions = []diode.Position{{Epoch: epoch(1), Seq: 7, SumAfter: 70}}
		x.rx, x.stop = run(x.t, c)
		m := newNear(t, x.link, n.key, 101, n.epoch)
		m.announce()
		m.beat(frame.Series{First: 1, Accepted: 4, AcceptedSum: 40})
		m.send(other(5))
		m.send(other(5))
		m.send(batch(6))
		after(time.Millisecond)
		x.expect("late 5, late 6")
	})
}

// The sender is back in an epoch that another had followed.
func TestEpochThatComesBack(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1), batch(2))
		after(200 * time.Millisecond)
		m := newNear(t, x.link, n.key, 101, diode.Epoch{ID: epoch(2), Prev: epoch(1), PrevKnown: true, Start: 3, StartSum: 20})
		m.announce()
		m.beat()
		m.send(batch(3))
		after(200 * time.Millisecond)
		o := newNear(t, x.link, n.key, 102, first(1))
		o.announce()
		o.beat(frame.Series{First: 1, Accepted: 1, AcceptedSum: 10})
		o.send(other(2), other(3))
		after(time.Millisecond)
		x.expect("1, 2, 3, late 2, gap 4-0 weight unknown epoch-end, 3")
	})
}

// A sender that goes on without having gone back raises no alarm, however its
// heartbeats are overtaken.
func TestOvertakenHeartbeatIsNoAlarm(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		early := n.heartbeat(frame.Series{First: 1, Accepted: 0})
		n.send(batch(1), batch(2))
		n.beat()
		n.link.Inject(early)
		after(time.Millisecond)
		if st := x.rx.Stats(); st.SpoolWentBack != 0 || st.Series[0].Accepted != 2 {
			t.Errorf("%+v", st.Series)
		}
	})
}
