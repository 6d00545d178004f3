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
			bounds := frame.Bounds{First: 1, Sent: through, SentSum: 10 * through, Accepted: 4, AcceptedSum: 40}
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
		n.beat(frame.Bounds{First: 1, Sent: 3, SentSum: 30, Accepted: 9, AcceptedSum: 90})
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
		n.beat(frame.Bounds{First: 1, Sent: 7, SentSum: 70, Accepted: 7, AcceptedSum: 70})
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
		n.send(c)
		after(time.Millisecond)
		x.expect("1, 1")
	})
}

func TestNewEpochEndsTheOldOneExactly(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1))
		after(200 * time.Millisecond)
		o := frame.Origin{Epoch: epoch(2), Prev: epoch(1), Ends: []frame.PrevEnd{{Known: true, Last: 6, Sum: 60}}}
		m := newNear(t, x.link, n.key, 101, o)
		m.announce()
		m.send(batch(1))
		after(time.Millisecond)
		x.expect("1, gap 2-6 weight 50 epoch-end, 1")
		n.send(batch(4)) // overtaken by the new session
		after(time.Millisecond)
		x.expect("1, gap 2-6 weight 50 epoch-end, 1, late 4")
	})
}

func TestNewEpochWithUnknownEnd(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1))
		n.beat(frame.Bounds{First: 1, Sent: 1, SentSum: 10, Accepted: 4, AcceptedSum: 40})
		after(200 * time.Millisecond)
		m := newNear(t, x.link, n.key, 101, frame.Origin{Epoch: epoch(2), Prev: epoch(9)})
		m.announce()
		m.send(batch(1))
		after(time.Millisecond)
		x.expect("1, gap 2-4 weight 30 epoch-end, gap 5-0 weight unknown epoch-end, 1")
	})
}

func TestRestartResumesFromPositions(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(x *far, n *near) {
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
	for name, change := range map[string]func(*recv.Config){
		"no name":       func(c *recv.Config) { c.Link = "" },
		"no key":        func(c *recv.Config) { c.Keys = nil },
		"empty key":     func(c *recv.Config) { c.Keys = []recv.Key{{ID: 1}} },
		"shorthand too": func(c *recv.Config) { c.PSK, c.KeyID = psk(1), 1 },
		"same key":      func(c *recv.Config) { c.Keys = append(c.Keys, c.Keys[0]) },
		"no connection": func(c *recv.Config) { c.Conn = nil },
		"no sink":       func(c *recv.Config) { c.Sink = nil },
		"little memory": func(c *recv.Config) { c.MemoryBytes = 1000 },
		"hasty":         func(c *recv.Config) { c.HoleAfter = time.Millisecond },
		"no state":      func(c *recv.Config) { c.StateDir = "" },
	} {
		c := config(link, sink, dir)
		change(&c)
		if _, err := recv.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
