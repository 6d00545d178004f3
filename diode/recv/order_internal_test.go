package recv

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
)

// Whatever an authentic sender says, in whatever order and however wrong, the
// receiver neither panics nor loses count of its memory, and within a series
// what is not late comes in rising order.
func TestOrderStandsAnySender(t *testing.T) {
	private, err := frame.KEM().DeriveKeyPair(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		c := Config{Sink: noSink{}, MemoryBytes: minMemory}
		for _, name := range []string{"left", "right"} {
			c.Paths = append(c.Paths, Path{Link: name, Keys: []Key{{ID: 1, PSK: [32]byte{1}, Private: private}}, Conn: noConn{}, StateDir: dir})
		}
		r, err := New(c)
		if err != nil {
			rt.Fatal(err)
		}
		r.memory.limit = 40_000 // some dozens of batches
		r.turn()
		w := newWild(r)
		for range rapid.IntRange(1, 80).Draw(rt, "steps") {
			w.step(rt)
			w.check(rt)
		}
	})
}

// wild is a sender that follows no rule.
type wild struct {
	r        *Receiver
	sessions []*session
	next     map[wildSeries]uint64
}

// wildSeries names a series.
type wildSeries struct {
	epoch [16]byte
	class diode.Class
}

func newWild(r *Receiver) *wild {
	w := &wild{r: r, next: map[wildSeries]uint64{}}
	for i := range 4 {
		p := r.paths[i%2]
		x := &session{id: uint64(i), key: p.keys[0], order: uint64(i + 1), usedAt: r.live, standing: map[*series]uint64{}, named: map[diode.Class][16]byte{}}
		p.sessions = append(p.sessions, x)
		w.sessions = append(w.sessions, x)
	}
	return w
}

func epochOf(n int) (e [16]byte) { e[0] = byte(n); return e }

func (w *wild) step(rt *rapid.T) {
	i := rapid.IntRange(0, len(w.sessions)-1).Draw(rt, "session")
	x, p := w.sessions[i], w.r.paths[i%2]
	num := func(name string) uint64 { return rapid.Uint64Range(0, 24).Draw(rt, name) }
	class := diode.Class(rapid.IntRange(0, 1).Draw(rt, "class"))
	switch rapid.IntRange(0, 9).Draw(rt, "do") {
	case 0, 1:
		b := frame.Series{Class: class, First: num("first"), Sent: num("sent"), SentSum: num("sum"), Accepted: num("accepted"), AcceptedSum: num("sum")}
		b.Epoch = diode.Epoch{
			ID: epochOf(rapid.IntRange(1, 4).Draw(rt, "epoch")), Start: 1 + num("start"), StartSum: num("sum"),
			Prev: epochOf(rapid.IntRange(0, 4).Draw(rt, "prev")), PrevKnown: rapid.Bool().Draw(rt, "known"),
		}
		x.beaten = true
		p.said(x, num("counter"), &b)
	case 2:
		for range rapid.IntRange(1, 200).Draw(rt, "ticks") {
			w.r.live, w.r.now = w.r.live.Add(tick), w.r.now.Add(tick)
		}
		for _, row := range w.r.rows {
			w.r.expireRow(row)
		}
	case 3:
		x.standing = map[*series]uint64{}
		for _, row := range w.r.rows {
			for _, s := range row.list {
				x.standing[s] = s.next - min(s.next, 1)
			}
		}
		p.beatAt = w.r.now
	default:
		data := append(w.r.buffers.get(int(num("size"))*20), byte(num("content")))
		w.r.arrived(x, class, arrival{data: data, head: frame.BatchHeader{
			Seq: 1 + num("seq"), SumBefore: num("sum"), Weight: uint32(num("weight")), Digest: num("digest"),
			Epoch: epochOf(rapid.IntRange(0, 4).Draw(rt, "epoch")), Flags: uint8(rapid.IntRange(0, 7).Draw(rt, "flags")),
		}})
	}
}

// check empties some of the queue and counts what is held.
func (w *wild) check(rt *rapid.T) {
	r := w.r
	for rapid.IntRange(0, 3).Draw(rt, "pop") > 0 {
		x, ok, _ := r.queue.pop()
		if !ok {
			break
		}
		w.take(rt, x)
	}
	held := int64(0)
	for _, row := range r.rows {
		if len(row.list) > maxEpochs {
			rt.Fatalf("%d series", len(row.list))
		}
		for _, s := range row.list {
			if len(s.order) != len(s.waiting) {
				rt.Fatalf("%d in order, %d waiting", len(s.order), len(s.waiting))
			}
			for _, h := range s.waiting {
				held += batchCost(h.batch.Data)
			}
		}
	}
	for _, x := range r.queue.items[r.queue.head:] {
		if !x.isGap {
			held += batchCost(x.batch.Data)
		}
	}
	if used := r.memory.used.Load(); used != held || used > r.memory.limit {
		rt.Fatalf("%d bytes counted, %d held", used, held)
	}
}

func (w *wild) take(rt *rapid.T, x item) {
	if x.isGap {
		if x.gap.Last != 0 && x.gap.Last < x.gap.First {
			rt.Fatalf("empty gap %+v", x.gap)
		}
		return
	}
	b := x.batch
	w.r.memory.release(batchCost(b.Data))
	id := wildSeries{b.Epoch, b.Class}
	if !b.Late && b.Seq < w.next[id] {
		rt.Fatalf("%v comes after %d", b.BatchID, w.next[id]-1)
	}
	if !b.Late {
		w.next[id] = b.Seq + 1
	}
}
