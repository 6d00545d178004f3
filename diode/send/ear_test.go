package send_test

import (
	"cmp"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
)

// ear opens what a sender seals and puts the batches together again.
type ear struct {
	t       *testing.T
	began   time.Time
	openers map[uint64]*frame.Opener
	blocks  map[blockID]*heardBlock
	beats   []heardBeat
	tests   []heardTest
	shards  []heardShard
	wire    int // frames so far
	used    map[uint64]bool
	hellos  map[uint64]int // announcements of a session before its first frame
}

type blockID struct {
	session uint64
	class   uint8
	number  uint64
}

type heardBlock struct {
	shards map[uint8][]byte
	at     map[uint8]time.Duration
	data   int // K, when known
	total  int // K+M, when known
	left   map[uint8]bool
	last   int // number on the wire of its last frame
}

func (b *heardBlock) whole() bool { return b.total > 0 && len(b.left) == b.total }

type heardBeat struct {
	frame.Heartbeat
	at      time.Duration
	session uint64
	counter uint64
}

type heardTest struct {
	frame.Test
	at time.Duration
}

type heardShard struct {
	at time.Duration
	h  frame.Header
}

// heardBatch is a batch on the wire.
type heardBatch struct {
	frame.BatchHeader
	class   diode.Class
	session uint64
	data    []byte
	begun   time.Duration // when its first shard left
	ended   time.Duration // when its last data shard left
	wire    int           // number on the wire of the last frame of its blocks
	partial bool          // some frame of its blocks never left
}

func (b *bench) listenIn() *ear {
	e := &ear{t: b.t, began: b.began, openers: map[uint64]*frame.Opener{}, blocks: map[blockID]*heardBlock{}, hellos: map[uint64]int{}, used: map[uint64]bool{}}
	b.ear = e
	return e
}

func (e *ear) hear(p []byte) {
	e.wire++
	var h frame.Header
	if err := h.Parse(p); err != nil {
		e.t.Fatal(err)
	}
	if h.Kind == frame.KindAnnounce {
		e.join(p)
		return
	}
	opener := e.openers[h.Session]
	if opener == nil {
		e.t.Fatalf("session %d was not announced", h.Session)
	}
	plain, err := opener.Open(nil, &h, p)
	if err != nil {
		e.t.Fatal(err)
	}
	e.used[h.Session] = true
	at := time.Since(e.began)
	switch h.Kind {
	case frame.KindHeartbeat:
		beat, err := frame.ParseHeartbeat(plain)
		if err != nil {
			e.t.Fatal(err)
		}
		e.beats = append(e.beats, heardBeat{beat, at, h.Session, h.Counter})
	case frame.KindTest:
		test, err := frame.ParseTest(plain)
		if err != nil {
			e.t.Fatal(err)
		}
		e.tests = append(e.tests, heardTest{test, at})
	default:
		e.shards = append(e.shards, heardShard{at, h})
		e.shard(h, plain, at)
	}
}

func (e *ear) join(p []byte) {
	a, err := frame.ParseAnnouncement(p)
	if err != nil {
		e.t.Fatal(err)
	}
	if !e.used[a.Session] {
		e.hellos[a.Session]++
	}
	if e.openers[a.Session] != nil {
		return
	}
	secret, err := frame.Decapsulate(private(), a.Encapsulation)
	if err != nil {
		e.t.Fatal(err)
	}
	k, err := frame.DeriveTraffic([32]byte{1}, secret, a.Suite, a.LinkID, a.KeyID, a.Session)
	if err != nil {
		e.t.Fatal(err)
	}
	if e.openers[a.Session], err = frame.NewOpener(k); err != nil {
		e.t.Fatal(err)
	}
}

func (e *ear) shard(h frame.Header, plain []byte, at time.Duration) {
	id := blockID{h.Session, h.Class, h.Block}
	b := e.blocks[id]
	if b == nil {
		b = &heardBlock{shards: map[uint8][]byte{}, at: map[uint8]time.Duration{}, left: map[uint8]bool{}}
		e.blocks[id] = b
	}
	if h.Code != frame.CodeOpen {
		b.data, b.total = int(h.K), int(h.K)+int(h.M)
	}
	b.left[h.Index], b.last = true, e.wire
	if h.Code == frame.CodeOpen || h.Index < h.K {
		b.shards[h.Index], b.at[h.Index] = plain, at
	}
}

// batches puts together all batches of a class that left whole, in the order
// of the wire.
func (e *ear) batches(class diode.Class) (list []heardBatch) {
	var p parser
	ids := slices.SortedFunc(maps.Keys(e.blocks), func(a, b blockID) int {
		return cmp.Or(cmp.Compare(a.session, b.session), cmp.Compare(a.number, b.number))
	})
	for _, id := range ids {
		if id.class != uint8(class) {
			continue
		}
		if id.session != p.session || id.number != p.number+1 {
			p = parser{list: p.list, session: id.session, class: class}
		}
		p.number = id.number
		if !p.block(e.blocks[id]) {
			p.cur, p.open = heardBatch{}, false // an error cut it off
		}
	}
	return p.list
}

type parser struct {
	list    []heardBatch
	session uint64
	number  uint64 // of the last block
	class   diode.Class
	cur     heardBatch
	open    bool
}

// block reads a block on; false: it never left whole.
func (p *parser) block(b *heardBlock) bool {
	var data []byte
	var size int
	for i := 0; len(b.shards[uint8(i)]) > 0 && (b.data == 0 || i < b.data); i++ {
		size = len(b.shards[uint8(i)])
		data = append(data, b.shards[uint8(i)]...)
	}
	when := func(off int) time.Duration { return b.at[uint8(max(off-1, 0)/size)] }
	off := frame.BlockHeaderBytes
	if !p.open && len(data) > 0 {
		off = int(frame.BlockStart(data))
	}
	for off < len(data) {
		if !p.open {
			if data[off] == 0 {
				return true
			}
			p.cur = heardBatch{session: p.session, class: p.class, begun: when(off + 1)}
			p.open = true
		}
		p.cur.wire, p.cur.partial = max(p.cur.wire, b.last), p.cur.partial || !b.whole()
		off += p.more(data[off:])
		if len(p.cur.data) == frame.BatchHeaderBytes+int(p.cur.Length) && p.cur.Seq != 0 {
			p.cur.data, p.cur.ended = p.cur.data[frame.BatchHeaderBytes:], when(off)
			p.list = append(p.list, p.cur)
			p.open = false
		}
	}
	return b.data != 0 && len(data) == b.data*size
}

// more takes what belongs to the current batch, header first.
func (p *parser) more(b []byte) int {
	c := &p.cur
	want := frame.BatchHeaderBytes
	if c.Seq != 0 {
		want += int(c.Length)
	}
	n := min(want-len(c.data), len(b))
	c.data = append(c.data, b[:n]...)
	if c.Seq == 0 && len(c.data) == frame.BatchHeaderBytes {
		if c.Parse(c.data) != nil {
			c.Seq, c.Length = 1<<62, 0 // never written so
		}
	}
	return n
}

// seqs lists the sequences of batches.
func seqs(list []heardBatch) (out []uint64) {
	for _, b := range list {
		out = append(out, b.Seq)
	}
	return out
}
