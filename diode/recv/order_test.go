package recv_test

import (
	"errors"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/linktest"
	"github.com/sluice-gateway/sluice/diode/recv"
)

func TestInOrderAndDuplicates(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1), batch(2))
		n.send(batch(2))
		n.send(batch(1), batch(3))
		after(time.Millisecond)
		x.expect("1, 2, 3")
		if st := x.rx.Stats(); st.Duplicates != 2 || st.Conflicts != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestFirstContactNamesWhatWasBefore(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(5))
		after(time.Millisecond)
		x.expect("gap 1-4 weight 40 before-first-contact, 5")
		if g := x.sink.Events()[0].Gap; !g.BeforeFirstContact || g.Epoch != epoch(1) {
			t.Errorf("%+v", g)
		}
	})
}

func TestHoleIsNamedAtOnceWithoutRepeats(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1))
		n.frames(batch(2), batch(3)) // lost
		n.send(batch(4))
		n.alive(time.Second) // the lost block is waited for
		x.expect("1, gap 2-3 weight 20 link, 4")
		n.send(batch(3))
		n.send(batch(3))
		after(time.Millisecond)
		x.expect("1, gap 2-3 weight 20 link, 4, late 3")
	})
}

func TestHoleWaitsForRepeats(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1))
		n.link.Inject(n.flagged(frame.FlagCopiesFollow, batch(3))[0])
		after(600 * time.Millisecond)
		x.expect("1")
		n.send(batch(2))
		after(time.Millisecond)
		x.expect("1, 2, 3")
		n.link.Inject(n.flagged(frame.FlagCopiesFollow, batch(5))[0])
		after(1100 * time.Millisecond)
		x.expect("1, 2, 3, gap 4-4 weight 10 link, 5")
	})
}

// What came before it was due waits for all that is due before it, and what is
// missing between two that wait is a hole, too.
func TestSeveralHoles(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		follow := func(seq uint64) { n.link.Inject(n.flagged(frame.FlagCopiesFollow, batch(seq))[0]) }
		n.send(batch(1))
		follow(3)
		follow(5)
		follow(3)
		if after(time.Millisecond); x.rx.Stats().Duplicates != 1 {
			t.Errorf("%+v", x.rx.Stats())
		}
		follow(2)
		after(time.Millisecond)
		x.expect("1, 2, 3")
		follow(7)
		n.send(batch(9)) // no copy of what is missing below it will follow
		after(time.Millisecond)
		x.expect("1, 2, 3, gap 4-4 weight 10 link, 5, gap 6-6 weight 10 link, 7, gap 8-8 weight 10 link, 9")
	})
}

// Before its time a hole is declared only when the heartbeat says that every
// copy of all of it has left, and thousands of frames have passed since.
func TestHoleIsDeclaredUpToSentThrough(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		sent := func(through uint64) {
			bounds := frame.Series{First: 1, Sent: through, SentSum: 10 * through, Accepted: 4, AcceptedSum: 40}
			n.beat(bounds)
			n.counter += 5000
			n.beat(bounds)
			after(200 * time.Millisecond)
		}
		n.send(batch(1))
		n.link.Inject(n.flagged(frame.FlagCopiesFollow, batch(4))[0])
		sent(2) // a copy of 3 may still come
		x.expect("1")
		sent(3)
		x.expect("1, gap 2-3 weight 20 link, 4")
	})
}

func TestTailIsNamedByHeartbeat(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1))
		after(time.Millisecond)
		n.beat(frame.Series{First: 1, Sent: 3, SentSum: 30, Accepted: 9, AcceptedSum: 90})
		after(900 * time.Millisecond)
		x.expect("1")
		after(200 * time.Millisecond)
		x.expect("1, gap 2-3 weight 20 link")
		n.send(batch(4))
		after(time.Millisecond)
		x.expect("1, gap 2-3 weight 20 link, 4")
	})
}

func TestTailBeforeFirstContact(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.beat(frame.Series{First: 1, Sent: 7, SentSum: 70, Accepted: 7, AcceptedSum: 70})
		after(1100 * time.Millisecond)
		x.expect("gap 1-7 weight 70 before-first-contact")
	})
}

func TestBrokenBlockKeepsItsOtherBatches(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1))
		f := n.frames(batch(2))
		n.link.Inject(f[1]) // the parity alone repairs a block of one
		n.send(batch(3))
		after(time.Millisecond)
		x.expect("1, 2, 3")
		if st := x.rx.Stats(); st.BlocksRepaired != 1 {
			t.Errorf("%+v", st)
		}
	})
}

func TestContradictionIsDeliveredWithAlarm(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1), batch(2))
		other := batch(2)
		other.Data = []byte("another batch 2")
		n.send(other)
		sum := batch(3)
		sum.SumBefore = 4711
		n.send(sum)
		after(time.Millisecond)
		x.expect("1, 2, late 2, 3")
		if st := x.rx.Stats(); st.Conflicts != 2 {
			t.Errorf("%d conflicts", st.Conflicts)
		}
	})
}

// A block waits for one before it until 4096 frames have passed; what comes
// within that is in order.
func TestReorderingIsTolerated(t *testing.T) {
	for _, passed := range []uint64{4000, 5000} {
		inBubble(t, func(x *far, n *near) {
			early := n.frames(batch(1))
			n.send(batch(2))
			n.counter += passed
			n.send(batch(3))
			after(time.Millisecond)
			n.link.Inject(early[0])
			after(time.Millisecond)
			want := "1, 2, 3"
			if passed > 4096 {
				want = "gap 1-1 weight 10 before-first-contact, 2, 3"
			}
			x.expect(want)
		})
	}
}

// While the sender is heard, a block is waited for longer than it holds any of
// it back.
func TestBlockIsWaitedForBehindHeartbeats(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		early := n.frames(batch(1))
		n.send(batch(2))
		for range 7 {
			after(50 * time.Millisecond)
			n.beat()
		}
		n.link.Inject(early[0])
		after(time.Millisecond)
		x.expect("1, 2")
	})
}

// A batch that is not what its header says is not delivered.
func TestDigestOfEachBatchIsChecked(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1))
		n.damage = 1
		n.send(batch(2))
		n.damage = 0
		n.send(batch(3))
		after(time.Millisecond)
		x.expect("1, gap 2-2 weight 10 link, 3")
		if st := x.rx.Stats(); st.BadBatches != 1 {
			t.Errorf("%+v", st)
		}
	})
}

func TestClassesDoNotWaitForEachOther(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1))
		n.frames(batch(2)) // lost
		n.send(batch(3))
		c := batch(1)
		c.Class = diode.Critical
		n.beat(frame.Series{Class: diode.Critical, Epoch: first(4)})
		n.send(c)
		after(time.Millisecond)
		x.expect("1, 1")
	})
}

func TestNewEpochEndsTheOldOneExactly(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1))
		after(200 * time.Millisecond)
		e := diode.Epoch{ID: epoch(2), Prev: epoch(1), PrevKnown: true, Start: 7, StartSum: 60}
		m := newNear(t, x.link, n.key, 101, e)
		m.announce()
		m.beat()
		m.send(batch(7))
		after(time.Millisecond)
		x.expect("1, gap 2-6 weight 50 epoch-end, 7")
		n.send(batch(4)) // overtaken by the new session
		after(time.Millisecond)
		x.expect("1, gap 2-6 weight 50 epoch-end, 7, late 4")
	})
}

// What was in the near spool when its epoch ended is sent with the epoch that it
// has, in order, before the next one begins.
func TestBatchesBelowTheStartBelongToTheEpochBefore(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1))
		after(200 * time.Millisecond)
		m := newNear(t, x.link, n.key, 101, diode.Epoch{ID: epoch(2), Prev: epoch(1), Start: 4, StartSum: 30})
		m.announce()
		m.beat(frame.Series{First: 1, Accepted: 5, AcceptedSum: 50})
		old := func(seq uint64) diode.Batch { b := batch(seq); b.Epoch = epoch(1); return b }
		m.send(old(2), old(3), batch(4))
		after(time.Millisecond)
		x.expect("1, 2, 3, gap 4-0 weight unknown epoch-end, 4")
		if e := x.sink.Events(); e[2].Batch.Epoch != epoch(1) || e[3].Gap.Epoch != epoch(1) || e[4].Batch.Epoch != epoch(2) {
			t.Errorf("%+v", e)
		}
	})
}

// The next epoch waits while copies of what is missing of the one before may
// still come.
func TestNextEpochWaitsForCopies(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1))
		after(200 * time.Millisecond)
		m := newNear(t, x.link, n.key, 101, diode.Epoch{ID: epoch(2), Prev: epoch(1), PrevKnown: true, Start: 3, StartSum: 20})
		m.announce()
		m.beat()
		m.link.Inject(m.flagged(frame.FlagCopiesFollow, batch(3))[0])
		after(200 * time.Millisecond)
		x.expect("1")
		old := batch(2)
		old.Epoch = epoch(1)
		m.send(old)
		after(time.Millisecond)
		x.expect("1, 2, 3")
		o := newNear(t, x.link, n.key, 102, diode.Epoch{ID: epoch(3), Prev: epoch(2), PrevKnown: true, Start: 6, StartSum: 50})
		o.announce()
		o.beat()
		m.link.Inject(o.flagged(frame.FlagCopiesFollow, batch(6))[0])
		after(1200 * time.Millisecond)
		x.expect("1, 2, 3, gap 4-5 weight 20 epoch-end, 6")
	})
}

func TestEpochWithoutHeartbeatWaitsForItsPlace(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1))
		after(200 * time.Millisecond)
		m := newNear(t, x.link, n.key, 101, diode.Epoch{ID: epoch(2), Prev: epoch(1), PrevKnown: true, Start: 2, StartSum: 10})
		m.announce()
		m.link.Inject(m.flagged(frame.FlagCopiesFollow, batch(3))[0])
		after(900 * time.Millisecond)
		x.expect("1")
		m.beat()
		m.send(batch(2))
		after(time.Millisecond)
		x.expect("1, 2, 3")
		o := newNear(t, x.link, n.key, 102, diode.Epoch{ID: epoch(3), Start: 1})
		o.announce()
		o.send(batch(2))
		after(1200 * time.Millisecond)
		x.expect("1, 2, 3, gap 4-0 weight unknown epoch-end, gap 1-1 weight unknown before-first-contact, 2")
	})
}

// What waits for its place and says that nothing before it will follow is
// believed when its place is known.
func TestBatchThatWaitedSettlesThoseBeforeIt(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1))
		after(200 * time.Millisecond)
		m := newNear(t, x.link, n.key, 101, diode.Epoch{ID: epoch(2), Prev: epoch(1), PrevKnown: true, Start: 2, StartSum: 10})
		m.announce()
		m.send(batch(4))
		after(100 * time.Millisecond)
		x.expect("1")
		m.beat()
		after(time.Millisecond)
		x.expect("1, gap 2-3 weight 20 link, 4")
	})
}

func TestNewEpochWithUnknownEnd(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1))
		n.beat(frame.Series{First: 1, Sent: 1, SentSum: 10, Accepted: 4, AcceptedSum: 40})
		after(200 * time.Millisecond)
		m := newNear(t, x.link, n.key, 101, diode.Epoch{ID: epoch(2), Prev: epoch(9), Start: 1})
		m.announce()
		m.beat()
		m.send(batch(1))
		after(time.Millisecond)
		x.expect("1, gap 2-4 weight 30 epoch-end, gap 5-0 weight unknown epoch-end, 1")
	})
}

func TestRestartResumesFromPositions(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(x *far, n *near) {
		after(time.Millisecond)
		x.stop()
		c := config(x.link, x.sink, dir)
		c.Positions = []diode.Position{{Epoch: epoch(1), Seq: 7, SumAfter: 70}}
		c.Open = []diode.Gap{{Epoch: epoch(1), First: 3, Last: 4}}
		x.rx, x.stop = run(x.t, c)
		n.announce()
		n.send(batch(6), batch(7), batch(8), batch(4))
		after(time.Millisecond)
		x.expect("8, late 4")
	})
}

func TestStoreErrorBecomesAGap(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		bad := errors.New("disk full")
		x.sink.Refuse(func(b diode.Batch) error {
			if b.Seq == 2 && !b.Late {
				return bad
			}
			return nil
		})
		n.send(batch(1), batch(2), batch(3))
		after(100 * time.Millisecond)
		x.expect("1, gap 2-2 weight 10 far-io-error, 3")
		n.send(batch(2)) // a repeat restores it
		after(time.Millisecond)
		x.expect("1, gap 2-2 weight 10 far-io-error, 3, late 2")
		if st := x.rx.Stats(); st.FarErrors != 1 {
			t.Errorf("%+v", st)
		}
	})
}

func TestSilenceIsNoticed(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		if st := x.rx.Stats(); st.State != recv.StateWaiting {
			t.Errorf("at the start: %s", st.State)
		}
		n.beat()
		after(time.Millisecond)
		if st := x.rx.Stats(); st.State != recv.StateUp {
			t.Errorf("after a heartbeat: %s", st.State)
		}
		after(6 * time.Second)
		if st := x.rx.Stats(); st.State != recv.StateSilent {
			t.Errorf("after 6 s: %s", st.State)
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	link, sink, dir := linktest.New(1, linktest.Faults{}), linktest.NewSink(), t.TempDir()
	for name, change := range map[string]func(*recv.Config, *recv.Path){
		"no path":       func(c *recv.Config, _ *recv.Path) { c.Paths = nil },
		"same path":     func(c *recv.Config, _ *recv.Path) { c.Paths = append(c.Paths, c.Paths[0]) },
		"no name":       func(_ *recv.Config, p *recv.Path) { p.Link = "" },
		"no key":        func(_ *recv.Config, p *recv.Path) { p.Keys = nil },
		"empty key":     func(_ *recv.Config, p *recv.Path) { p.Keys[0].PSK = [32]byte{} },
		"no private":    func(_ *recv.Config, p *recv.Path) { p.Keys[0].Private = nil },
		"same key":      func(_ *recv.Config, p *recv.Path) { p.Keys = append(p.Keys, p.Keys[0]) },
		"no connection": func(_ *recv.Config, p *recv.Path) { p.Conn = nil },
		"no state":      func(_ *recv.Config, p *recv.Path) { p.StateDir = "" },
		"no sink":       func(c *recv.Config, _ *recv.Path) { c.Sink = nil },
		"little memory": func(c *recv.Config, _ *recv.Path) { c.MemoryBytes = 1000 },
		"hasty":         func(c *recv.Config, _ *recv.Path) { c.HoleAfter = time.Millisecond },
	} {
		c := config(link, sink, dir)
		change(&c, &c.Paths[0])
		if _, err := recv.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
