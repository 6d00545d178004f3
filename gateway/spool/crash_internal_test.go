package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

const (
	crashEntries = 60
	crashSamples = 4 // states per crash point
)

// crashEntry is the content of entry seq.
func crashEntry(seq uint64) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "entry %d|", seq), int(5+seq*7%30)) // #nosec G115 -- small
}

func crashOptions() Options { return Options{SegmentBytes: 2 << 10} }

// recordRun works with a log on m: appends, reads, acknowledges, restarts once.
func recordRun(t *testing.T, m *memFS) []op {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		for half := range uint64(2) {
			l, err := open(m, crashOptions())
			if err != nil {
				t.Fatal(err)
			}
			c, err := l.Cursor("sink")
			if err != nil {
				t.Fatal(err)
			}
			for seq := half*crashEntries/2 + 1; seq <= (half+1)*crashEntries/2; {
				seq = appendSome(t, l, m, seq, (half+1)*crashEntries/2)
				if seq%5 == 0 {
					ackUpTo(t, c, seq-min(seq, 8))
				}
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
	return m.trace
}

// appendSome appends one to three entries that share a commit.
func appendSome(t *testing.T, l *Log, m *memFS, seq, last uint64) uint64 {
	t.Helper()
	n := min(seq%3+1, last-seq+1)
	done := make(chan error, n)
	for i := range n {
		err := l.AppendAsync(t.Context(), 2, func(got uint64, err error) {
			if err == nil && got != seq+i {
				err = fmt.Errorf("sequence %d, want %d", got, seq+i)
			}
			m.note(seq + i)
			done <- err
		}, crashEntry(seq+i))
		if err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	return seq + n
}

// ackUpTo acknowledges, and lets the keeper store and delete.
func ackUpTo(t *testing.T, c *Cursor, through uint64) {
	t.Helper()
	c.Ack(through)
	wait, cancel := context.WithTimeout(t.Context(), 3*saveEvery)
	defer cancel()
	<-wait.Done()
}

// checkCrash opens what a crash left and says what promise was broken.
func checkCrash(m *memFS, acked uint64) error {
	l, err := open(m, crashOptions())
	if err != nil {
		return err
	}
	_, next, _ := l.Bounds()
	err = verifyCrash(l, acked, next)
	// Life goes on: what is appended now survives the next start.
	for seq := next; err == nil && seq < next+3; seq++ {
		_, err = l.Append(context.Background(), 2, crashEntry(seq))
	}
	if err = errors.Join(err, l.Close()); err != nil {
		return err
	}
	if l, err = open(m, crashOptions()); err != nil {
		return err
	}
	return errors.Join(verifyCrash(l, acked, next), l.Close())
}

// verifyCrash reads everything: what was acknowledged (through acked, and again
// from resumed on) must be there, and nothing may be there that was not appended.
func verifyCrash(l *Log, acked, resumed uint64) error {
	first, next, _ := l.Bounds()
	if next <= acked {
		return fmt.Errorf("next is %d, %d was acknowledged", next, acked)
	}
	for seq := first; seq < next; seq++ {
		e, err := l.Read(seq, nil)
		corrupt := (*CorruptError)(nil)
		switch {
		case errors.As(err, &corrupt) && seq > acked && seq < resumed:
		case err != nil:
			return err
		case !bytes.Equal(e.Data, crashEntry(seq)):
			return fmt.Errorf("entry %d reads %q", seq, e.Data)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.cursors {
		if c.acked >= max(acked+1, resumed) {
			return fmt.Errorf("cursor at %d, %d was acknowledged", c.acked, acked)
		}
	}
	if first > 1 && len(l.cursors) > 0 && first > l.cursors["sink"].acked+1 {
		return fmt.Errorf("first is %d, the cursor stands at %d", first, l.cursors["sink"].acked)
	}
	return nil
}

// crashEverywhere checks states for each prefix of the trace and gives the first
// broken promise.
func crashEverywhere(trace []op, seed uint64) (states int, broken error) {
	var acked uint64
	for at := range trace {
		if trace[at].kind == "acked" {
			acked = max(acked, trace[at].seq)
		}
		for sample := range uint64(crashSamples) {
			rnd := rand.New(rand.NewPCG(seed, uint64(at)<<8|sample)) // #nosec G404,G115 -- a repeatable test
			if err := checkCrash(crash(trace[:at+1], rnd), acked); err != nil {
				return states, fmt.Errorf("crash after operation %d of %d (%s %s), sample %d: %w",
					at, len(trace), trace[at].kind, trace[at].name, sample, err)
			}
			states++
		}
	}
	return states, nil
}

func TestCrashAnywhereKeepsTheAcknowledged(t *testing.T) {
	trace := recordRun(t, newMemFS())
	kinds := map[string]int{}
	for _, o := range trace {
		kinds[o.kind]++
	}
	if kinds["remove"] == 0 || kinds["rename"] == 0 || kinds["acked"] != crashEntries {
		t.Fatalf("the run did too little: %v", kinds)
	}
	states, err := crashEverywhere(trace, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d crash states, operations %v", states, kinds)
}

// TestCrashModelFindsPlantedBugs proves that the test above can fail.
func TestCrashModelFindsPlantedBugs(t *testing.T) {
	for name, m := range map[string]*memFS{
		"fdatasync removed":          {files: map[string]*inode{}, deafSync: true},
		"fsync of directory removed": {files: map[string]*inode{}, deafSyncDir: true},
	} {
		t.Run(name, func(t *testing.T) {
			states, err := crashEverywhere(recordRun(t, m), 1)
			if err == nil {
				t.Fatalf("%d crash states, nothing found", states)
			}
			t.Logf("found after %d states: %v", states, err)
		})
	}
}

// TestKilledThenCrashed kills the process at each operation in turn, which loses
// nothing that was handed to the kernel, and starts another, which must not show
// anything that a power failure can still take back.
func TestKilledThenCrashed(t *testing.T) {
	if at, err := killEverywhere(t, false); err != nil {
		t.Fatalf("killed at operation %d: %v", at, err)
	}
	at, err := killEverywhere(t, true)
	if err == nil {
		t.Fatal("a missing fdatasync at the start was not found")
	}
	t.Logf("without fdatasync at the start: killed at operation %d: %v", at, err)
}

func killEverywhere(t *testing.T, deaf bool) (at int, err error) {
	t.Helper()
	for at = 1; at < 60; at++ {
		m := newMemFS()
		m.fault = dieAt(at)
		synctest.Test(t, func(t *testing.T) { runUntilDead(t, m) })
		m.setFault(nil)
		m.deafSync = deaf
		l, err := open(m, crashOptions())
		if err != nil {
			return at, err
		}
		m.deafSync = false
		visible := l.nextSeq.Load() - 1
		trace := slices.Clone(m.trace)
		if err := errors.Join(verifyCrash(l, 0, visible+1), l.Close()); err != nil {
			return at, err
		}
		for sample := range uint64(20) {
			rnd := rand.New(rand.NewPCG(sample, uint64(at))) // #nosec G404,G115 -- a repeatable test
			if err := checkCrash(crash(trace, rnd), visible); err != nil {
				return at, err
			}
		}
	}
	return at, nil
}

// dieAt lets everything fail from the n-th change of the disk on; a write that
// comes just then is cut.
func dieAt(n int) func(op, name string) error {
	seen := 0
	return func(op, _ string) error {
		if op == "read" || op == "openread" || op == "list" {
			return nil
		}
		if seen++; seen < n {
			return nil
		}
		if seen == n && op == "write" {
			return errTorn
		}
		return errDisk
	}
}

// runUntilDead appends until the disk fails for good.
func runUntilDead(t *testing.T, m *memFS) {
	t.Helper()
	l, err := open(m, crashOptions())
	if err != nil {
		return
	}
	for seq := uint64(1); err == nil && seq < 40; seq++ {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		_, err = l.Append(ctx, 2, crashEntry(seq))
		cancel()
	}
	_ = l.Close() // the process is dead: nothing it does reaches the disk
}

// faulty makes the n-th operation of a kind fail, and those after it as long as
// more says so.
func faulty(kind string, n, more int, err error) func(op, name string) error {
	seen := 0
	return func(op, name string) error {
		if op != kind || name == markName+tempSuffix {
			return nil
		}
		seen++
		if seen >= n && seen < n+more {
			return err
		}
		return nil
	}
}

// TestFaultAnywhereLosesNothing lets each operation fail in turn, once or a few
// times in a row: every append ends well, later.
func TestFaultAnywhereLosesNothing(t *testing.T) {
	for _, kind := range []string{"write", "sync", "open", "syncdir", "rename", "remove", "truncate"} {
		for n := 1; n <= 30; n++ {
			for _, more := range []int{1, 4} {
				m := newMemFS()
				m.fault = faulty(kind, n, more, errDisk)
				if err := runWithFaults(t, m); err != nil {
					t.Fatalf("%s number %d, %d times: %v", kind, n, more, err)
				}
			}
		}
	}
}

func runWithFaults(t *testing.T, m *memFS) (err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l, openErr := open(m, crashOptions())
		if openErr != nil {
			err = openErr
			return
		}
		c, cursorErr := l.Cursor("sink")
		for seq := uint64(1); seq <= 30 && err == nil; seq++ {
			_, err = l.Append(t.Context(), 2, crashEntry(seq))
			if seq%10 == 0 {
				ackUpTo(t, c, seq-5)
			}
		}
		if err = errors.Join(err, cursorErr, verifyCrash(l, 30, 31)); err != nil {
			_ = l.Close()
			return
		}
		if s := l.Stats(); s.State != StateOK || s.Lost.Entries != 0 {
			err = fmt.Errorf("state %s, lost %+v", s.State, s.Lost)
		}
		m.setFault(nil)
		err = errors.Join(err, l.Close())
	})
	if err != nil {
		return err
	}
	l, err := open(m, crashOptions())
	if err != nil {
		return err
	}
	return errors.Join(verifyCrash(l, 30, 31), l.Close())
}

// TestUnreadableRecordIsPassed lets the disk refuse one place of a segment for
// good: after some attempts it counts as lost, and only it.
func TestUnreadableRecordIsPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		const size = 64 << 10
		at := int64(segmentHeadBytes + 4*(size+recordHeadBytes))
		bad := badSpot{fileSystem: m, from: at + 5000, to: at + 6000}
		l, err := open(&bad, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if _, err := l.Append(t.Context(), 1, make([]byte, size)); err != nil {
				t.Fatal(err)
			}
		}
		c, err := l.Cursor("sink")
		if err != nil {
			t.Fatal(err)
		}
		started := time.Now()
		var got []uint64
		for len(got) < 9 {
			e, err := c.Next(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e.Seq)
		}
		if want := []uint64{1, 2, 3, 4, 6, 7, 8, 9, 10}; !slices.Equal(got, want) {
			t.Fatalf("%v", got)
		}
		if lost := l.Stats().Lost; lost != (Count{1, 1}) {
			t.Fatalf("lost %+v", lost)
		}
		if time.Since(started) < readRetryFirst {
			t.Fatal("given up at once")
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// badSpot fails reads that touch some bytes of any file.
type badSpot struct {
	fileSystem
	from, to int64
}

func (b *badSpot) open(name string, flag int) (file, error) {
	f, err := b.fileSystem.open(name, flag)
	if err != nil {
		return nil, err
	}
	return &badFile{file: f, spot: b}, nil
}

type badFile struct {
	file
	spot *badSpot
}

func (f *badFile) ReadAt(p []byte, off int64) (int, error) {
	if off < f.spot.to && off+int64(len(p)) > f.spot.from {
		return 0, errDisk
	}
	return f.file.ReadAt(p, off)
}
