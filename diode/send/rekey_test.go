package send_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/floor"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/linktest"
	"github.com/sluice-gateway/sluice/diode/send"
)

// checkChanges fails when a counter came twice or beyond most, or a session
// did not end as announced.
func (e *ear) checkChanges(most uint64) (sessions int) {
	e.t.Helper()
	last, seen := map[uint64]uint64{}, map[[2]uint64]bool{}
	note := func(session, counter uint64) {
		if seen[[2]uint64{session, counter}] {
			e.t.Errorf("counter %d of session %d twice", counter, session)
		}
		if counter >= most {
			e.t.Errorf("session %d sealed frame %d", session, counter)
		}
		seen[[2]uint64{session, counter}] = true
		last[session] = max(last[session], counter)
	}
	for _, x := range e.shards {
		note(x.h.Session, x.h.Counter)
	}
	for _, x := range e.beats {
		note(x.session, x.counter)
	}
	newest := e.beats[len(e.beats)-1].session
	for session, counter := range last {
		if n := e.hellos[session]; n < 2 {
			e.t.Errorf("session %d was announced %d times before its first frame", session, n)
		}
		if session != newest {
			e.checkEnd(session, counter)
		}
	}
	return len(last)
}

// checkEnd fails unless the session was ended as announced.
func (e *ear) checkEnd(session, last uint64) {
	e.t.Helper()
	var named, exact int
	for _, x := range e.beats {
		if x.session != session || x.Next == 0 {
			continue
		}
		named++
		if x.SwitchAt <= last {
			e.t.Errorf("session %d: heartbeat %d says %d, but frame %d was sealed", session, x.counter, x.SwitchAt, last)
		}
		if x.SwitchAt == last+1 {
			exact++
		}
	}
	if named < 3+3 || exact != 3 {
		e.t.Errorf("session %d: %d heartbeats name the next, %d state its end", session, named, exact)
	}
}

// A session that has sealed its share of frames, or is old, is followed by
// another: announced, without a pause, and nothing is cut in two.
func TestSessionsFollowEachOther(t *testing.T) {
	for name, limit := range map[string]func(*send.Sender){
		"frames": func(s *send.Sender) { s.SetLimits(3000, frame.MaxFrames, time.Hour) },
		"age":    func(s *send.Sender) { s.SetLimits(frame.MaxFrames, frame.MaxFrames, 2*time.Second) },
	} {
		for _, depth := range []int{1, 4} {
			var critical *linktest.Source
			listening(t, func(c *send.Config) {
				critical = linktest.NewSource(diode.Critical)
				c.Interleave, c.RateBits, c.Heartbeat = depth, 50_000_000, 200*time.Millisecond
				c.Classes[diode.Critical] = class(2, critical)
			}, limit, func(b *bench, e *ear) {
				for range 200 {
					b.source.Add(make([]byte, 256<<10), 1)
				}
				for range 150 {
					critical.Add([]byte("alarm"), 1)
					b.after(40 * time.Millisecond)
				}
				b.after(10 * time.Second)
				if n := e.checkChanges(frame.MaxFrames); n < 4 {
					t.Errorf("%s: %d sessions", name, n)
				}
				bulk := seqs(e.batches(diode.Bulk))
				if len(bulk) != 200 || !slices.IsSorted(bulk) || b.source.SentThrough() != 200 || critical.SentThrough() != 150 {
					t.Errorf("%s: %d bulk batches, sent through %d and %d", name, len(bulk), b.source.SentThrough(), critical.SentThrough())
				}
				e.checkAlarms(e.batches(diode.Critical), 150, 60*time.Millisecond)
				e.checkNoPause(6*time.Second, 30*time.Millisecond)
			})
		}
	}
}

// checkAlarms fails unless count alarms, one every 40 ms, each left in time.
func (e *ear) checkAlarms(list []heardBatch, count int, limit time.Duration) {
	e.t.Helper()
	if len(list) != count {
		e.t.Fatalf("%d alarms", len(list))
	}
	worst := time.Duration(0)
	for i, x := range list {
		worst = max(worst, x.ended-max(time.Duration(i)*40*time.Millisecond, 200*time.Millisecond))
	}
	if worst > limit {
		e.t.Errorf("an alarm took %v", worst)
	}
}

// checkNoPause fails when nothing left for so long before until.
func (e *ear) checkNoPause(until, limit time.Duration) {
	e.t.Helper()
	for i := 1; i < len(e.shards) && e.shards[i].at < until; i++ {
		if pause := e.shards[i].at - e.shards[i-1].at; pause > limit {
			e.t.Errorf("nothing left for %v at %v", pause, e.shards[i].at)
		}
	}
}

// With an idle link the next session comes by heartbeats alone.
func TestIdleSessionEnds(t *testing.T) {
	listening(t, nothing, func(s *send.Sender) { s.SetLimits(frame.MaxFrames, frame.MaxFrames, 10*time.Second) }, func(b *bench, e *ear) {
		b.after(25 * time.Second)
		if n := e.checkChanges(frame.MaxFrames); n != 3 {
			b.t.Errorf("%d sessions in 25 s", n)
		}
		for i := 1; i < len(e.beats); i++ {
			if gap := e.beats[i].at - e.beats[i-1].at; gap > 1001*time.Millisecond {
				b.t.Errorf("no heartbeat for %v at %v", gap, e.beats[i].at)
			}
		}
	})
}

// Each session begins with heartbeats in a row: they place its batches.
func TestSessionBeginsWithHeartbeats(t *testing.T) {
	listening(t, nothing, func(s *send.Sender) { s.SetLimits(frame.MaxFrames, frame.MaxFrames, 5*time.Second) }, func(b *bench, e *ear) {
		b.after(12 * time.Second)
		first := map[uint64]time.Duration{}
		count := map[uint64]int{}
		for _, x := range e.beats {
			if _, ok := first[x.session]; !ok {
				first[x.session] = x.at
			}
			if x.at-first[x.session] <= 200*time.Millisecond {
				count[x.session]++
			}
		}
		for session, n := range count {
			if n < 3 {
				b.t.Errorf("session %d begins with %d heartbeats", session, n)
			}
		}
	})
}

// fullDisk is a send.Room on which nothing can be stored while full.
type fullDisk struct{ full atomic.Bool }

func (d *fullDisk) Do(f func() error) error {
	if d.full.Load() {
		return syscall.ENOSPC
	}
	return f()
}

// A sender that cannot store its session number sends nothing, says so, and
// begins by itself when it can.
func TestFullDiskAtStart(t *testing.T) {
	disk := &fullDisk{}
	disk.full.Store(true)
	inBubble(t, func(c *send.Config) { c.Room = disk }, func(b *bench) {
		b.source.Add([]byte("x"), 1)
		b.after(10 * time.Second)
		st := b.tx.Stats()
		if len(b.sent) > 0 || st.SessionProblem == "" || st.Session != 0 {
			b.t.Errorf("%d frames, %+v", len(b.sent), st)
		}
		disk.full.Store(false)
		b.after(2 * time.Second)
		if st := b.tx.Stats(); st.SessionProblem != "" || b.source.SentThrough() != 1 {
			b.t.Errorf("sent through %d, %+v", b.source.SentThrough(), st)
		}
	})
}

// When the next session cannot be opened, the present one goes on to its last
// frame and not beyond; then the link is held.
func TestFullDiskAtChange(t *testing.T) {
	const last = 4000
	disk := &fullDisk{}
	listening(t, func(c *send.Config) { c.Room, c.RateBits = disk, 10_000_000 }, func(s *send.Sender) { s.SetLimits(1000, last, time.Hour) }, func(b *bench, e *ear) {
		b.after(time.Second)
		disk.full.Store(true)
		for range 40 {
			b.source.Add(make([]byte, 256<<10), 1)
		}
		b.after(20 * time.Second)
		st := b.tx.Stats()
		if !st.Holding || st.Holds != 1 || st.SessionProblem == "" || b.source.SentThrough() == 40 {
			b.t.Errorf("sent through %d, %+v", b.source.SentThrough(), st)
		}
		disk.full.Store(false)
		b.after(20 * time.Second)
		if st := b.tx.Stats(); st.Holding || st.SessionProblem != "" || b.source.SentThrough() != 40 {
			b.t.Errorf("sent through %d, %+v", b.source.SentThrough(), st)
		}
		for _, x := range e.shards {
			if x.h.Counter >= last {
				b.t.Fatalf("frame %d was sealed", x.h.Counter)
			}
		}
		b.checkUnbroken(e.batches(diode.Bulk), 40)
	})
}

// A floor that is damaged is for the operator to decide on.
func TestDamagedFloorEndsRun(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, fmt.Sprintf("send-%08x-%08x.floor", frame.LinkID("test"), 1))
	if err := os.WriteFile(file, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	tx, err := send.New(config(linktest.New(1, linktest.Faults{}), linktest.NewSource(diode.Bulk), dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Run(t.Context()); !errors.Is(err, floor.ErrDamaged) {
		t.Errorf("%v", err)
	}
}

// A clock that was a year ahead once leaves the numbers there: doctor sees it.
func TestSessionNumbersAheadOfTheClock(t *testing.T) {
	const year = 365 * 24 * time.Hour
	inBubble(t, func(c *send.Config) {
		file, err := floor.Open(c.StateDir, "send", frame.LinkID(c.Link), c.KeyID)
		if err != nil {
			t.Fatal(err)
		}
		if err := file.Store(floor.Mark{Session: uint64(time.Now().Add(year).Unix())}); err != nil {
			t.Fatal(err)
		}
	}, func(b *bench) {
		b.after(time.Second)
		if st := b.tx.Stats(); st.SessionAhead < year-time.Minute || st.SessionAhead > year+time.Minute {
			t.Errorf("%v ahead", st.SessionAhead)
		}
	})
	inBubble(t, nothing, func(b *bench) {
		b.after(time.Second)
		if st := b.tx.Stats(); st.SessionAhead != 0 {
			t.Errorf("%v ahead", st.SessionAhead)
		}
	})
}

// checkUnbroken fails unless batches 1 to n left, and each first came right
// behind the one before.
func (b *bench) checkUnbroken(list []heardBatch, n uint64) {
	b.t.Helper()
	next := uint64(1)
	for _, x := range list {
		if x.partial {
			continue // an error cut it off; it came again
		}
		if x.Seq > next {
			b.t.Fatalf("batch %d came before %d", x.Seq, next)
		}
		if x.Seq == next {
			next++
		}
	}
	if next != n+1 {
		b.t.Errorf("batches up to %d left, want %d", next-1, n)
	}
}
