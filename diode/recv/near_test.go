package recv_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/fec"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/linktest"
	"github.com/sluice-gateway/sluice/diode/recv"
)

const shardBytes = 1408

// pairing is key id with the pre-shared key psk(n). All have one key pair.
func pairing(id uint32, n byte) recv.Key {
	private, err := frame.KEM().DeriveKeyPair(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		panic(err)
	}
	return recv.Key{ID: id, PSK: psk(n), Private: private}
}

func psk(n byte) (k [32]byte) { k[0], k[31] = 0x5A, n; return k }

func epoch(n byte) (e [16]byte) { e[0] = n; return e }

// near is a near side made by hand: it sends exactly the frames a test asks
// for.
type near struct {
	t              *testing.T
	link           *linktest.Link
	name           string
	key            recv.Key
	id             uint64
	epoch          diode.Epoch
	enc            [frame.EncapsulationBytes]byte
	sealer         *frame.Sealer
	counter        uint64
	damage         uint64 // into the digests of batches
	top            uint64 // highest sequence of bulk sent
	block          map[diode.Class]uint64
	next, switchAt uint64
	codec          *fec.Codec
}

func newNear(t *testing.T, link *linktest.Link, key recv.Key, session uint64, e diode.Epoch) *near {
	t.Helper()
	return newNearOf(t, "test", link, key, session, e)
}

func newNearOf(t *testing.T, name string, link *linktest.Link, key recv.Key, session uint64, e diode.Epoch) *near {
	t.Helper()
	n := &near{t: t, link: link, name: name, key: key, id: session, epoch: e, block: map[diode.Class]uint64{}, codec: fec.NewCodec()}
	enc, secret, err := frame.Encapsulate(key.Private.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	n.enc = enc
	k, err := frame.DeriveTraffic(key.PSK, secret, frame.SuiteHybrid, frame.LinkID(name), key.ID, session)
	if err != nil {
		t.Fatal(err)
	}
	if n.sealer, err = frame.NewSealer(k); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *near) announcement() []byte {
	key, err := frame.AnnounceKey(n.key.PSK)
	if err != nil {
		n.t.Fatal(err)
	}
	a := frame.Announcement{
		LinkID: frame.LinkID(n.name), KeyID: n.key.ID, Session: n.id, Suite: frame.SuiteHybrid, Encapsulation: n.enc,
	}
	return a.Append(nil, key)
}

func (n *near) announce() { n.link.Inject(n.announcement()) }

func (n *near) seal(h frame.Header, plain []byte) []byte {
	h.LinkID, h.KeyID, h.Session, h.Counter = frame.LinkID(n.name), n.key.ID, n.id, n.counter
	n.counter++
	return n.sealer.Seal(make([]byte, 0, frame.Overhead+len(plain)), &h, plain)
}

// frames makes a block of one data shard and one parity shard with these
// batches.
func (n *near) frames(batches ...diode.Batch) [2][]byte {
	return n.flagged(0, batches...)
}

func (n *near) flagged(flags uint8, batches ...diode.Batch) [2][]byte {
	class := batches[0].Class
	for _, b := range batches {
		if class == diode.Bulk {
			n.top = max(n.top, b.Seq)
		}
	}
	shard := make([]byte, frame.BlockHeaderBytes, shardBytes)
	frame.PutBlockHeader(shard, frame.BlockHeaderBytes)
	for _, b := range batches {
		h := frame.BatchHeader{
			Flags: flags, Length: uint32(len(b.Data)), Seq: b.Seq, SumBefore: b.SumBefore, Weight: b.Weight,
			Digest: frame.NewDigester().Digest(b.Data) ^ n.damage, Epoch: n.epochOf(b), Time: nearTime(b.Seq).UnixNano(),
		}
		head := make([]byte, frame.BatchHeaderBytes)
		h.Put(head)
		shard = append(append(shard, head...), b.Data...)
	}
	shards := [][]byte{shard[:shardBytes], make([]byte, shardBytes)}
	shape := fec.Shape{Data: 1, Parity: 1, ShardBytes: shardBytes}
	if err := n.codec.Encode(frame.CodeClassic, shape, shards); err != nil {
		n.t.Fatal(err)
	}
	h := frame.Header{
		Kind: frame.KindShard, Block: n.block[class], Class: uint8(class), Code: frame.CodeClassic, K: 1, M: 1, Shard: shardBytes,
		Start: frame.BlockHeaderBytes,
	}
	n.block[class]++
	data := n.seal(h, shards[0])
	h.Index, h.Start = 1, frame.NoStart
	return [2][]byte{data, n.seal(h, shards[1])}
}

// send sends batches in one block.
func (n *near) send(batches ...diode.Batch) { n.link.Inject(n.frames(batches...)[0]) }

// epochOf is the near side's unless the batch names another.
func (n *near) epochOf(b diode.Batch) [16]byte {
	if b.Epoch == [16]byte{} {
		return n.epoch.ID
	}
	return b.Epoch
}

// nearTime is when the near side took batch seq in.
func nearTime(seq uint64) time.Time { return time.Unix(1_700_000_000+int64(seq), 0) }

// first is the first epoch of a near side, named n.
func first(n byte) diode.Epoch { return diode.Epoch{ID: epoch(n), Start: 1} }

// beat sends a heartbeat of the near side's epoch with these bounds.
func (n *near) beat(list ...frame.Series) { n.link.Inject(n.heartbeat(list...)) }

func (n *near) heartbeat(list ...frame.Series) []byte {
	if len(list) == 0 {
		list = []frame.Series{{First: 1, Accepted: n.top, AcceptedSum: 10 * n.top}}
	}
	for i := range list {
		if list[i].Epoch.ID == [16]byte{} {
			list[i].Epoch = n.epoch
		}
	}
	hb := frame.Heartbeat{Clock: time.Now(), Every: time.Second, Next: n.next, SwitchAt: n.switchAt, Series: list}
	return n.seal(frame.Header{Kind: frame.KindHeartbeat, Start: frame.NoStart}, hb.Append(nil))
}

// alive lets a while pass in which the sender is heard, as a link that carries nothing is.
func (n *near) alive(d time.Duration) {
	const every = 200 * time.Millisecond
	for ; d > 0; d -= every {
		after(every)
		n.beat()
	}
	after(time.Millisecond)
}

// batch is bulk batch seq of a series in which every batch weighs 10.
func batch(seq uint64) diode.Batch {
	return diode.Batch{
		BatchID: diode.BatchID{Seq: seq}, Weight: 10, SumBefore: 10 * (seq - 1), Data: fmt.Appendf(nil, "batch %d", seq),
	}
}

// far is a receiver in a bubble.
type far struct {
	t    *testing.T
	link *linktest.Link
	sink *linktest.Sink
	rx   *recv.Receiver
	stop func()
}

func config(link *linktest.Link, sink recv.Sink, dir string) recv.Config {
	return recv.Config{
		Paths: []recv.Path{{Link: "test", Keys: []recv.Key{pairing(1, 1)}, Conn: link, StateDir: dir}},
		Sink:  sink, HoleAfter: time.Second,
	}
}

func run(t *testing.T, c recv.Config) (rx *recv.Receiver, stop func()) {
	t.Helper()
	rx, err := recv.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- rx.Run(ctx) }()
	return rx, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}
}

// inBubble runs f with a receiver and a near side whose session 100 is
// announced.
func inBubble(t *testing.T, f func(far *far, near *near)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		x := &far{t: t, link: linktest.New(1, linktest.Faults{}), sink: linktest.NewSink()}
		x.rx, x.stop = run(t, config(x.link, x.sink, dir))
		n := newNear(t, x.link, pairing(1, 1), 100, first(1))
		n.announce()
		n.beat()
		f(x, n)
		x.stop()
	})
}

// after lets time pass until the bubble is idle.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// story tells the sink's events in words.
func (x *far) story() string { return story(x.sink.Events()) }

func story(events []linktest.Event) string {
	var words []string
	for _, e := range events {
		switch {
		case e.IsGap && e.Gap.WeightKnown:
			words = append(words, fmt.Sprintf("gap %d-%d weight %d %s", e.Gap.First, e.Gap.Last, e.Gap.Weight, e.Gap.Reason))
		case e.IsGap:
			words = append(words, fmt.Sprintf("gap %d-%d weight unknown %s", e.Gap.First, e.Gap.Last, e.Gap.Reason))
		case e.Batch.Late:
			words = append(words, fmt.Sprintf("late %d", e.Batch.Seq))
		default:
			words = append(words, fmt.Sprintf("%d", e.Batch.Seq))
		}
	}
	return strings.Join(words, ", ")
}

func (x *far) expect(want string) {
	x.t.Helper()
	if got := x.story(); got != want {
		x.t.Errorf("got  %s\nwant %s", got, want)
	}
}
