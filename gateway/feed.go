package gateway

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/sdk"
)

const (
	// sinkCredit bounds what is delivered to a sink of a class and not yet acknowledged, in bytes (ours; as much as a
	// receiver's). The critical class has some of its own, so that a backlog of the other does not hold it up.
	sinkCredit     = sdk.DefaultCredit
	criticalCredit = sinkCredit / 4
	// criticalTurns is how often the critical class goes first while the other waits as well (ours).
	criticalTurns = 8
)

// feed is the Outlet of one start of one sink: it reads every origin the sink has a cursor in, passes the batches of
// its receivers, and moves the cursors when the sink acknowledges.
//
//	cursor (origin, class) ─► read ─► filter by receiver ─┐
//	cursor (origin, class) ─► read ─► filter by receiver ─┴─► one lane per class ─► Next … Ack ─► cursor
//
// The critical class goes first, with a turn for the other after every eighth.
type feed struct {
	takes   map[string]bool // labels of receivers
	counts  *sinkCounts
	reject  func(batch []byte, rs []sdk.Rejection) error // writes dead letters; on an error none is written
	stuck   func(error)                                  // told while reject fails, and nil when it succeeds again
	hold    func(reason string)
	buffers *sync.Pool // of *[]byte
	lanes   []lane     // by class
	tracks  []*track
	quit    <-chan struct{} // closed when nothing more shall be delivered

	mu          sync.Mutex // guards what follows
	number      uint64
	turns       int // that the critical class had in a row
	outstanding []*parcel
}

// lane is where the parcels of a class wait to be taken.
type lane struct {
	offer  chan *parcel
	credit *semaphore.Weighted
}

func newLanes() []lane {
	out := make([]lane, len(classes()))
	for _, c := range classes() {
		credit := int64(sinkCredit)
		if c == sdk.ClassCritical {
			credit = criticalCredit
		}
		out[c] = lane{offer: make(chan *parcel), credit: semaphore.NewWeighted(credit)}
	}
	return out
}

// track is one cursor with what is on its way.
type track struct {
	cursor *spool.Cursor
	class  sdk.Class

	mu      sync.Mutex // guards pending and order of Ack calls
	pending []*parcel
}

// parcel is one batch on its way. passed covers skipped entries behind it, which its acknowledgement covers as well.
type parcel struct {
	delivery sdk.Delivery
	track    *track
	passed   uint64
	records  uint32
	weight   int64
	buf      *[]byte         // holds the delivery; given back with the acknowledgement
	rejected map[uint32]bool // records in the dead-letter log
}

func newFeed(cursors []*spool.Cursor, takes map[string]bool, counts *sinkCounts) *feed {
	f := &feed{takes: takes, counts: counts, lanes: newLanes()}
	for i, c := range cursors {
		f.tracks = append(f.tracks, &track{cursor: c, class: classes()[i%len(classes())]})
	}
	return f
}

// run reads all tracks until ctx ends. Cursors start behind the last acknowledgement.
func (f *feed) run(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make(chan error, len(f.tracks))
	ctx, cancel := context.WithCancel(ctx)
	for _, t := range f.tracks {
		if err := t.cursor.Rewind(t.cursor.Acked() + 1); err != nil {
			errs <- err
			break
		}
		wg.Go(func() {
			if err := f.read(ctx, t); ctx.Err() == nil {
				errs <- err
				cancel()
			}
		})
	}
	if len(errs) == 0 {
		<-ctx.Done()
	}
	cancel()
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

func (f *feed) read(ctx context.Context, t *track) error {
	for {
		buf := f.buffer()
		e, err := t.cursor.Next(ctx, *buf)
		if err != nil {
			return err
		}
		*buf = e.Data
		p := f.parcel(t, e)
		if p == nil {
			f.buffers.Put(buf)
			t.skip(e.Seq)
			continue
		}
		p.buf = buf
		if err := f.push(ctx, p); err != nil {
			return err
		}
	}
}

func (f *feed) buffer() *[]byte {
	if buf, ok := f.buffers.Get().(*[]byte); ok {
		return buf
	}
	return new([]byte)
}

// parcel makes a parcel of an entry, or nil when it is not for this sink. Only the header of the batch is looked at.
func (f *feed) parcel(t *track, e spool.Entry) *parcel {
	env, batch, err := parseEnvelope(e.Data)
	if err != nil {
		f.counts.dropped.add("corrupt-entry", 1, uint64(e.Weight))
		return nil
	}
	if env.kind == kindGap {
		return nil
	}
	// A header that cannot be read was counted when it came from the link; receivers of this node deliver none.
	h, _, err := sdk.ParseHeader(batch)
	if err != nil || !f.takes[h.Receiver] {
		return nil
	}
	p := &parcel{track: t, passed: e.Seq, records: h.Count, weight: min(int64(len(batch)), criticalCredit)}
	p.delivery = sdk.Delivery{Class: t.class, Late: env.late, Data: batch}
	return p
}

func (f *feed) push(ctx context.Context, p *parcel) error {
	l := f.lanes[p.track.class]
	if err := l.credit.Acquire(ctx, p.weight); err != nil {
		return err
	}
	p.track.mu.Lock()
	p.track.pending = append(p.track.pending, p)
	p.track.mu.Unlock()
	select {
	case l.offer <- p:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// skip passes an entry that is not for this sink: at once when nothing before it is outstanding, else together with
// the last parcel before it.
func (t *track) skip(seq uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.pending); n > 0 {
		t.pending[n-1].passed = seq
		return
	}
	t.cursor.Ack(seq)
}

// done acknowledges the oldest parcel of the track.
func (t *track) done(p *parcel) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.pending) == 0 || t.pending[0] != p {
		return fmt.Errorf("sink acknowledged delivery %d out of turn", p.delivery.Number)
	}
	t.pending = slices.Delete(t.pending, 0, 1)
	t.cursor.Ack(p.passed)
	return nil
}

// Next numbers a delivery and hands it to the sink. It is the sink's until it is acknowledged.
func (f *feed) Next(ctx context.Context) (sdk.Delivery, error) {
	select {
	case <-f.quit:
		return sdk.Delivery{}, io.EOF // also when there is something on offer
	default:
	}
	if p := f.preferred(); p != nil {
		return f.hand(p), nil
	}
	select {
	case p := <-f.lanes[sdk.ClassBulk].offer:
		return f.hand(p), nil
	case p := <-f.lanes[sdk.ClassCritical].offer:
		return f.hand(p), nil
	case <-f.quit:
		return sdk.Delivery{}, io.EOF
	case <-ctx.Done():
		return sdk.Delivery{}, ctx.Err()
	}
}

// preferred takes from the lane whose turn it is, if something waits there.
func (f *feed) preferred() *parcel {
	f.mu.Lock()
	first := sdk.ClassCritical
	if f.turns >= criticalTurns {
		first, f.turns = sdk.ClassBulk, 0
	}
	f.mu.Unlock()
	select {
	case p := <-f.lanes[first].offer:
		return p
	default:
		return nil
	}
}

func (f *feed) hand(p *parcel) sdk.Delivery {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turns++
	if p.track.class == sdk.ClassBulk {
		f.turns = 0
	}
	f.number++
	p.delivery.Number = f.number
	f.outstanding = append(f.outstanding, p)
	return p.delivery
}

// Ack writes the rejected records to the dead-letter log and then moves the cursors.
func (f *feed) Ack(ctx context.Context, through uint64, rejected ...sdk.Rejection) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if through > f.number {
		return fmt.Errorf("sink acknowledged delivery %d, the newest is %d", through, f.number)
	}
	if err := f.deadLetters(ctx, rejected); err != nil {
		return err
	}
	n := 0
	for _, p := range f.outstanding {
		if p.delivery.Number > through {
			break
		}
		if err := p.track.done(p); err != nil {
			return err
		}
		f.settle(p)
		n++
	}
	f.outstanding = slices.Delete(f.outstanding, 0, n)
	if n > 0 {
		f.counts.last.Store(time.Now().UnixNano())
	}
	return nil
}

// settle counts an acknowledged parcel and takes back what it held.
func (f *feed) settle(p *parcel) {
	f.lanes[p.track.class].credit.Release(p.weight)
	f.counts.batches.Add(1)
	f.counts.records.Add(uint64(p.records) - uint64(len(p.rejected)))
	f.counts.bytes.Add(uint64(len(p.delivery.Data)))
	f.buffers.Put(p.buf)
}

// Hold keeps the sink's word for status.
func (f *feed) Hold(_ context.Context, reason string) error {
	f.hold(reason)
	return nil
}
