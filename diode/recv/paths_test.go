package recv_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/linktest"
	"github.com/sluice-gateway/sluice/diode/recv"
)

// inPair runs f with a receiver of two paths and the near sides of both.
func inPair(t *testing.T, f func(far *far, near [2]*near)) {
	t.Helper()
	dirs := [2]string{t.TempDir(), t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		sink := linktest.NewSink()
		c := recv.Config{Sink: sink, HoleAfter: time.Second}
		var n [2]*near
		for i, name := range []string{"left", "right"} {
			link := linktest.New(1, linktest.Faults{})
			c.Paths = append(c.Paths, recv.Path{Link: name, Keys: []recv.Key{pairing(1, 1)}, Conn: link, StateDir: dirs[i]})
			n[i] = newNearOf(t, name, link, pairing(1, 1), 100+uint64(i), first(1))
		}
		x := &far{t: t, sink: sink}
		x.rx, x.stop = run(t, c)
		for _, y := range n {
			y.announce()
			y.beat()
		}
		after(time.Millisecond)
		f(x, n)
		x.stop()
	})
}

func (n *near) follow(seq uint64) { n.link.Inject(n.flagged(frame.FlagCopiesFollow, batch(seq))[0]) }

func TestTwoPathsDeliverOnce(t *testing.T) {
	inPair(t, func(x *far, n [2]*near) {
		for seq := uint64(1); seq <= 5; seq++ {
			if seq != 2 { // lost on the left
				n[0].follow(seq)
			}
			after(time.Millisecond)
		}
		x.expect("1")
		for seq := uint64(1); seq <= 5; seq++ {
			if seq != 4 { // lost on the right
				n[1].follow(seq)
			}
		}
		after(time.Millisecond)
		x.expect("1, 2, 3, 4, 5")
		if st := x.rx.Stats(); st.Duplicates != 3 || st.Late != 0 || len(st.Paths) != 2 || st.Paths[1].Session != 101 {
			t.Errorf("%+v", st)
		}
	})
}

// A hole is one when both paths say so; a silent path is not asked.
func TestHoleOverTwoPaths(t *testing.T) {
	inPair(t, func(x *far, n [2]*near) {
		sent := frame.Series{First: 1, Sent: 3, SentSum: 30, Accepted: 3, AcceptedSum: 30}
		passed := func(y *near) {
			y.beat(sent)
			y.counter += 5000
			y.beat(sent)
			after(200 * time.Millisecond)
		}
		n[0].follow(1)
		n[0].follow(3)
		passed(n[0])
		x.expect("1")
		passed(n[1])
		x.expect("1, gap 2-2 weight 10 link, 3")
		after(6 * time.Second) // both are silent
		n[0].follow(4)
		n[0].follow(6)
		sent = frame.Series{First: 1, Sent: 6, SentSum: 60, Accepted: 6, AcceptedSum: 60}
		passed(n[0])
		x.expect("1, gap 2-2 weight 10 link, 3, 4, gap 5-5 weight 10 link, 6")
		if st := x.rx.Stats(); st.State != recv.StateUp || st.Paths[1].State != recv.StateSilent {
			t.Errorf("%s, %s", st.State, st.Paths[1].State)
		}
	})
}

// A path that says nothing does not keep a hole open for ever.
func TestHoleIsDeclaredInTheEndWhenOnePathStaysBehind(t *testing.T) {
	inPair(t, func(x *far, n [2]*near) {
		n[1].top = 3
		n[0].follow(1)
		n[0].beat(frame.Series{First: 1, Sent: 3, SentSum: 30, Accepted: 3, AcceptedSum: 30})
		for range 4 {
			after(300 * time.Millisecond)
			n[1].beat()
			n[0].beat(frame.Series{First: 1, Sent: 3, SentSum: 30, Accepted: 3, AcceptedSum: 30})
		}
		after(time.Millisecond)
		x.expect("1, gap 2-3 weight 20 link")
	})
}

// An announced session takes over at the counter that was stated, not before
// what the one before sent last.
func TestAnnouncedSessionWaitsForTheOneBefore(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1))
		after(200 * time.Millisecond)
		m := newNear(t, x.link, n.key, 101, n.epoch)
		m.announce()
		m.top = 2
		last := n.wide(long(2))
		n.link.Inject(last[0])
		n.next, n.switchAt = 101, n.counter+1
		n.beat()
		m.beat()
		m.send(batch(3))
		after(100 * time.Millisecond)
		x.expect("1")
		n.link.Inject(last[1]) // overtaken
		after(50 * time.Millisecond)
		x.expect("1, 2, 3")
	})
}

// What the old session does not bring in time is not waited for longer.
func TestAnnouncedSessionDoesNotWaitLong(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1))
		after(200 * time.Millisecond)
		m := newNear(t, x.link, n.key, 101, n.epoch)
		m.announce()
		m.top = 2
		n.link.Inject(n.wide(long(2))[0])
		n.next, n.switchAt = 101, n.counter+1
		n.beat()
		m.send(batch(3))
		after(400 * time.Millisecond)
		x.expect("1, gap 2-2 weight 10 link, 3")
	})
}

func TestAcceptSender(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		if _, err := x.rx.AcceptSender("test"); err == nil {
			t.Error("accepted a sender that never was")
		}
		n.send(batch(1))
		after(time.Second)
		m := newNear(t, x.link, n.key, 40, n.epoch)
		m.announce()
		m.send(batch(2))
		after(time.Millisecond)
		x.expect("1")
		if _, err := x.rx.AcceptSender("another"); err == nil {
			t.Error("accepted on an unknown link")
		}
		a, err := x.rx.AcceptSender("test")
		if err != nil || a != (recv.Acceptance{Key: 1, Floor: 100, Session: 40}) {
			t.Fatalf("%+v, %v", a, err)
		}
		m.announce()
		m.beat()
		m.send(batch(2))
		m.alive(time.Second)
		x.expect("1, 2")
		if p := x.rx.Stats().Paths[0]; p.Session != 40 || p.State != recv.StateUp {
			t.Errorf("session %d, whose number is higher, is still in use: %s", p.Session, p.State)
		}
		if _, err := x.rx.AcceptSender("test"); err == nil {
			t.Error("accepted twice")
		}
	})
}

func TestHeardAndNeighbours(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(x *far, n *near) {
		after(time.Millisecond)
		x.stop()
		var heard []string
		c := config(x.link, x.sink, dir)
		c.Heard = func(link string, hb frame.Heartbeat) { heard = append(heard, link+string(hb.Health)) }
		x.rx, x.stop = run(x.t, c)
		n.announce()
		n.beat()
		n.send(batch(1))
		after(time.Second)
		n.follow(4)
		after(1200 * time.Millisecond)
		n.send(batch(3))
		after(time.Millisecond)
		x.expect("1, gap 2-3 weight 20 link, 4, late 3")
		if !slices.Equal(heard, []string{"test"}) {
			t.Error(heard)
		}
		e := x.sink.Events()
		b, g := e[2].Batch, e[1].Gap
		if !b.Time.Equal(nearTime(4)) || b.Arrived.IsZero() || b.Resent {
			t.Errorf("%+v", b)
		}
		before := diode.Neighbour{Near: e[0].Batch.Time, Far: e[0].Batch.Arrived}
		if g.Before != before || g.After != (diode.Neighbour{Near: b.Time, Far: b.Arrived}) || g.SumAfter != 30 {
			t.Errorf("%+v", g)
		}
	})
}

// A batch that an operator asked for says so, and says nothing of those before
// it.
func TestResentBatch(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1))
		n.send(batch(3))
		n.link.Inject(n.flagged(frame.FlagResend, batch(2))[0])
		n.link.Inject(n.flagged(frame.FlagResend, batch(6))[0])
		after(time.Millisecond)
		x.expect("1, gap 2-2 weight 10 link, 3, late 2")
		if e := x.sink.Events(); !e[3].Batch.Resent || x.rx.Stats().Resent != 1 {
			t.Errorf("%+v", e[3].Batch)
		}
	})
}

// As many ranges as a ledger keeps open fit, and each of them is filled.
func TestManyOpenRanges(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(x *far, n *near) {
		after(time.Millisecond)
		x.stop()
		c := config(x.link, x.sink, dir)
		const ranges = 65536
		c.Positions = []diode.Position{{Epoch: epoch(1), Seq: 3 * ranges, SumAfter: 30 * ranges}}
		for i := range uint64(ranges) {
			c.Open = append(c.Open, diode.Gap{Epoch: epoch(1), First: 3*i + 1, Last: 3*i + 1})
		}
		x.rx, x.stop = run(x.t, c)
		n.top = 3 * ranges
		n.announce()
		n.beat()
		for _, seq := range []uint64{1, 2, 3, 4, 3*ranges - 2, 3 * ranges} {
			n.send(batch(seq))
		}
		after(time.Millisecond)
		x.expect("late 1, late 4, late 196606")
		if st := x.rx.Stats(); st.Series[0].Open != ranges-3 || st.Duplicates != 3 {
			t.Errorf("%+v", st.Series)
		}
	})
}

// A heartbeat of a session from before the change, late on a slower path, does
// not bring the epoch before back.
func TestLateHeartbeatOfAnotherPathDoesNotBringAnEpochBack(t *testing.T) {
	inPair(t, func(x *far, n [2]*near) {
		n[0].follow(1)
		after(200 * time.Millisecond)
		m := newNearOf(t, "left", n[0].link, n[0].key, 110, diode.Epoch{ID: epoch(2), Prev: epoch(1), PrevKnown: true, Start: 2, StartSum: 10})
		m.announce()
		m.beat()
		m.follow(2)
		after(time.Millisecond)
		n[1].top = 1
		n[1].beat()
		m.follow(3)
		after(time.Millisecond)
		x.expect("1, 2, 3")
		for _, s := range x.rx.Stats().Series {
			if s.Current != (s.Epoch == epoch(2)) || s.Ended != (s.Epoch == epoch(1)) {
				t.Errorf("%+v", s)
			}
		}
	})
}
