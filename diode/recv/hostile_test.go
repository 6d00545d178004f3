package recv_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/floor"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/linktest"
)

// hostileFrames is how many bad datagrams the test below sends, unless
// SLUICE_HOSTILE_FRAMES says otherwise: 10,000,000 take three minutes.
const hostileFrames = 200_000

func hostileCount(t *testing.T) int {
	t.Helper()
	text := os.Getenv("SLUICE_HOSTILE_FRAMES")
	if text == "" {
		return hostileFrames
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// What is forged, replayed, cut or flipped changes counters and nothing else.
func TestHostileFramesChangeOnlyCounters(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		recorded := [][]byte{n.announcement()}
		for seq := uint64(1); seq <= 20; seq++ {
			f := n.frames(batch(seq))
			x.link.Inject(f[0])
			recorded = append(recorded, f[0], f[1])
		}
		n.beat(frame.Series{First: 1, Sent: 20, SentSum: 200, Accepted: 20, AcceptedSum: 200})
		after(100 * time.Millisecond)
		story, before := x.story(), x.rx.Stats()
		rng := rand.New(rand.NewPCG(1, 2))
		for i := range hostileCount(t) {
			x.link.Inject(hostile(rng, recorded))
			if i%1000 == 0 {
				after(time.Microsecond)
			}
		}
		after(time.Microsecond)
		if got := x.story(); got != story {
			t.Errorf("got  %s\nwant %s", got, story)
		}
		now := x.rx.Stats()
		if !reflect.DeepEqual(now.Series, before.Series) || now.Accepted != before.Accepted || now.Sessions != before.Sessions || now.MemoryUsed != before.MemoryUsed {
			t.Errorf("state changed: %+v\n%+v", before, now)
		}
		for name, count := range map[string]uint64{
			"bad header": now.BadHeader, "foreign link": now.ForeignLink, "unknown session": now.UnknownSession, "unknown key": now.UnknownKey,
			"replayed": now.Replayed, "bad tag": now.BadTag, "bad announcement": now.BadAnnouncement, "below floor": now.BelowFloor,
		} {
			if count == 0 {
				t.Errorf("no frame counted as %s", name)
			}
		}
		n.send(batch(21)) // and the link still works
		after(time.Millisecond)
		x.expect(story + ", 21")
	})
}

// hostile makes one bad datagram out of what was recorded.
func hostile(rng *rand.Rand, recorded [][]byte) []byte {
	b := bytes.Clone(recorded[rng.IntN(len(recorded))])
	switch rng.IntN(6) {
	case 0: // replayed as it was
		return b
	case 1: // cut
		return b[:rng.IntN(len(b))]
	case 2: // random bytes
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	case 3: // a plausible header before junk
		h := frame.Header{
			Kind: frame.Kind(1 + rng.IntN(3)), LinkID: frame.LinkID("test"), KeyID: rng.Uint32N(3), Session: 98 + rng.Uint64N(4), Counter: rng.Uint64N(100),
			Block: rng.Uint64N(50), Code: frame.CodeClassic, Index: uint8(rng.IntN(2)), K: 1, M: 1, Shard: shardBytes,
		}
		b = make([]byte, frame.Overhead+shardBytes)
		h.Put(b)
		return b
	default: // bits flipped
		for range 1 + rng.IntN(3) {
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		}
		return b
	}
}

// A flood of forged announcements costs no more than the budget, and a genuine
// one gets through.
func TestFloodOfForgedAnnouncements(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1))
		after(200 * time.Millisecond)
		m := newNear(t, x.link, n.key, 101, n.epoch)
		m.top = 1
		for range 10 {
			for i := range 500 {
				b := m.announcement()
				if i != 20 {
					b[len(b)-1] ^= 1
				}
				x.link.Inject(b)
			}
			after(10 * time.Millisecond)
		}
		st := x.rx.Stats()
		if st.RateLimited < 3000 || st.BadAnnouncement > 1200 || st.Sessions != 2 {
			t.Errorf("%+v", st.Frames)
		}
		m.beat()
		m.send(batch(2))
		after(time.Millisecond)
		x.expect("1, 2")
	})
}

// A whole session recorded on the wire is refused by a receiver that was
// restarted since, with and without a newer session.
func TestReplayAfterRestart(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(x *far, n *near) {
		x.stop()
		x.rx, x.stop = run(x.t, config(x.link, x.sink, dir))
		recorded := [][]byte{n.announcement(), n.heartbeat(), n.frames(batch(1))[0], n.frames(batch(2))[0]}
		replay := func() {
			for _, b := range recorded {
				x.link.Inject(b)
			}
			after(time.Millisecond)
		}
		replay()
		x.expect("1, 2")
		x.stop()
		x.rx, x.stop = run(x.t, config(x.link, x.sink, dir)) // it forgot its positions, too
		replay()
		if st := x.rx.Stats(); st.Replayed != 3 || st.Accepted != 0 {
			t.Errorf("after a restart: %+v", st)
		}
		m := newNear(x.t, x.link, n.key, 101, n.epoch)
		after(time.Second)
		m.announce()
		m.send(batch(3))
		after(time.Millisecond)
		x.stop()
		x.rx, x.stop = run(x.t, config(x.link, x.sink, dir))
		after(time.Second)
		replay()
		if st := x.rx.Stats(); st.Sessions != 0 || st.BelowFloor != 1 || st.SenderWentBack != 1 || st.UnknownSession != 3 {
			t.Errorf("below the floor: %+v", st)
		}
	})
}

// The floor is on disk as soon as anything of a session counts: a receiver that
// is killed right after must not take an older one.
func TestFloorIsStoredBeforeUse(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(x *far, n *near) {
		x.stop()
		x.rx, x.stop = run(x.t, config(x.link, x.sink, dir))
		n.announce()
		n.beat()
		after(time.Millisecond) // sooner than anything is stored by time
		file, err := floor.Open(dir, "recv", frame.LinkID("test"), n.key.ID)
		if err != nil {
			x.t.Fatal(err)
		}
		if m, err := file.Load(); err != nil || m.Session != n.id {
			x.t.Errorf("stored %+v, %v; session %d is in use", m, err, n.id)
		}
	})
}

func TestSessions(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1))
		after(200 * time.Millisecond)
		twin := newNear(x.t, x.link, n.key, 100, first(7))
		twin.announce()
		after(time.Millisecond)
		if st := x.rx.Stats(); st.SessionConflicts != 1 || st.Sessions != 1 {
			t.Errorf("a twin: %+v", st)
		}
		second, third := newNear(x.t, x.link, n.key, 101, n.epoch), newNear(x.t, x.link, n.key, 102, n.epoch)
		second.announce()
		third.announce() // faster than any sender opens sessions
		after(time.Millisecond)
		if st := x.rx.Stats(); st.RateLimited != 1 || st.Sessions != 2 {
			t.Errorf("too fast: %+v", st)
		}
		n.send(batch(2)) // the session before is still open
		second.send(batch(3))
		after(200 * time.Millisecond)
		third.announce()
		third.send(batch(4))
		n.send(batch(5)) // two newer ones: closed
		after(time.Millisecond)
		x.expect("1, 2, 3, 4")
	})
}

func TestTwoPairings(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(x *far, n *near) {
		x.stop()
		c := config(x.link, x.sink, dir)
		c.Paths[0].Keys = append(c.Paths[0].Keys, pairing(2, 2))
		x.rx, x.stop = run(x.t, c)
		n.announce()
		n.send(batch(1))
		after(time.Second)
		m := newNear(x.t, x.link, c.Paths[0].Keys[1], 50, n.epoch) // floors are per key
		m.announce()
		m.send(batch(2))
		wrong := newNear(x.t, x.link, pairing(2, 9), 51, n.epoch)
		after(time.Second)
		wrong.announce()
		wrong.send(batch(3))
		after(time.Millisecond)
		x.expect("1, 2")
		if st := x.rx.Stats(); st.BadAnnouncement != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// A sink that never finishes must not make memory grow: whole batches are
// dropped and named.
func TestMemoryIsBounded(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(x *far, n *near) {
		x.stop()
		stuck := &stuckSink{Sink: x.sink, free: make(chan struct{})}
		c := config(x.link, stuck, dir)
		c.MemoryBytes = 16 << 20
		x.rx, x.stop = run(x.t, c)
		n.announce()
		const count = 60_000
		for seq := uint64(1); seq <= count; seq++ {
			b := batch(seq)
			b.Data = bytes.Repeat([]byte{1}, 1000)
			n.send(b)
			if seq%100 == 0 {
				after(time.Microsecond)
			}
		}
		after(time.Millisecond)
		st := x.rx.Stats()
		if st.MemoryMax > c.MemoryBytes || st.Overload == 0 {
			t.Errorf("memory %d of %d, overload %d", st.MemoryMax, c.MemoryBytes, st.Overload)
		}
		close(stuck.free)
		after(time.Second)
		var next uint64 = 1
		for _, e := range x.sink.Events() {
			first, last := e.Batch.Seq, e.Batch.Seq
			if e.IsGap {
				first, last = e.Gap.First, e.Gap.Last
				if e.Gap.Reason != diode.ReasonOverload || e.Gap.Weight != 10*(last-first+1) {
					t.Fatalf("%+v", e.Gap)
				}
			}
			if first != next {
				t.Fatalf("%d follows %d", first, next)
			}
			next = last + 1
		}
		if next != count+1 {
			t.Errorf("ends at %d", next)
		}
		if used := x.rx.Stats().MemoryUsed; used != 0 {
			t.Errorf("%d bytes are held although all is delivered", used)
		}
	})
}

// What is delivered late counts, too: without room it stays missing.
func TestMemoryOfLateBatchesIsBounded(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(x *far, n *near) {
		after(time.Millisecond)
		x.stop()
		stuck := &stuckSink{Sink: x.sink, free: make(chan struct{})}
		c := config(x.link, stuck, dir)
		c.MemoryBytes = 16 << 20
		x.rx, x.stop = run(x.t, c)
		n.announce()
		n.beat()
		const count = 20_000
		n.send(batch(count))
		for seq := uint64(1); seq < count; seq++ {
			b := batch(seq)
			b.Data = bytes.Repeat([]byte{1}, 1000)
			n.send(b)
			if seq%100 == 0 {
				after(time.Microsecond)
			}
		}
		after(time.Millisecond)
		if st := x.rx.Stats(); st.MemoryMax > c.MemoryBytes || st.MemoryUsed < c.MemoryBytes/2 || st.Overload == 0 || st.Overload+st.Late != count-1 {
			t.Errorf("%+v", st)
		}
		close(stuck.free)
		after(time.Second)
		for seq := uint64(1); seq < count; seq++ { // again: what found no room is delivered, the rest is known
			n.send(batch(seq))
		}
		after(time.Second)
		if used := x.rx.Stats().MemoryUsed; used != 0 {
			t.Errorf("%d bytes are held although all is delivered", used)
		}
	})
}

// Blocks that never become whole take no more than their share of the memory.
func TestMemoryOfBlocksIsBounded(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(x *far, n *near) {
		after(time.Millisecond)
		x.stop()
		c := config(x.link, x.sink, dir)
		c.MemoryBytes = 16 << 20
		x.rx, x.stop = run(x.t, c)
		n.announce()
		const jumbo = 8896 // bytes per shard at MTU 9000
		for block := range uint64(1000) {
			for index := range uint8(3) { // 27 MB, each block one shard short
				n.link.Inject(n.seal(frame.Header{
					Kind: frame.KindShard, Block: block, Code: frame.CodeClassic, Index: index, K: 4, M: 4,
					Shard: jumbo, Start: frame.NoStart,
				}, make([]byte, jumbo)))
			}
		}
		after(time.Millisecond)
		st := x.rx.Stats()
		if st.Accepted != 3000 || st.MemoryMax > c.MemoryBytes || st.BlocksFailed == 0 {
			x.t.Errorf("memory %d of %d, %d blocks given up of %d frames", st.MemoryMax, c.MemoryBytes, st.BlocksFailed, st.Accepted)
		}
	})
}

// stuckSink blocks in Deliver until free is closed.
type stuckSink struct {
	*linktest.Sink
	free chan struct{}
}

func (s *stuckSink) Deliver(ctx context.Context, b diode.Batch, done func(error)) error {
	<-s.free
	return s.Sink.Deliver(ctx, b, done)
}
