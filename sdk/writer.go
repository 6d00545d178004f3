package sdk

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Defaults of a Writer (ours, measured: see the package's benchmark).
const (
	DefaultBatchBytes = 256 << 10
	DefaultLinger     = 5 * time.Millisecond
	// writerBuilders bounds a Writer's memory: one being filled, the others on their way to the core.
	writerBuilders = 4
	// maxBatchBody is the most that BatchBytes may be: header and incompressible blocks must fit beside it.
	maxBatchBody = MaxBatchBytes - 4096
)

var errStopped = &Error{Code: CodeGone, Detail: "the receiver has stopped", Retryable: true}

// Writer gathers records into batches and delivers them. Write may be called concurrently; Run must be running.
//
//	Write ──► builder being filled ──(full or linger)──► ready ──► Run: seal, Deliver ──► free ─┐
//	             ▲                                                                              │
//	             └──────────────────────────────────────────────────────────────────────────────┘
//
// With all builders on their way Write blocks: that is how back-pressure reaches the endpoints.
//
// Two rules keep it free of deadlocks. Whoever holds the lock waits for nothing but a free builder; and Run, the only
// one that frees builders, never waits for the lock without sending what is ready meanwhile.
type Writer struct {
	out     Intake
	class   Class
	head    Header
	bytes   int
	linger  time.Duration
	encoder *zstd.Encoder
	buf     []byte // Run's: the sealed batch

	lock  chan struct{} // a mutex that a context can give up on; guards cur, next and last
	cur   *pending      // nil when there is nothing to send
	next  uint64        // sequence of the next record
	last  *Ticket       // newest batch's
	ready chan *pending // in sequence order; capacity writerBuilders, so sending never blocks
	free  chan *builder // capacity writerBuilders, so giving back never blocks
	kick  chan struct{} // cur has become non-empty
	over  chan struct{} // closed when Run has returned: nothing more is taken
}

type pending struct {
	b      *builder
	head   Header
	ticket *Ticket
}

// WriterOptions changes a Writer's defaults; zero values keep them.
type WriterOptions struct {
	Class      Class
	BatchBytes int           // a batch is sent when its body would exceed this, 1 to MaxBatchBytes - 4096
	Linger     time.Duration // or when its first record is this old; negative = at once
}

// NewWriter makes a Writer for a configured receiver.
func NewWriter(out Intake, s Setup, o WriterOptions) (*Writer, error) {
	if s.Name == "" || len(s.Name) > math.MaxUint8 {
		return nil, &Error{Code: CodeConfig, Detail: fmt.Sprintf("receiver name %q must have 1 to 255 bytes", s.Name)}
	}
	enc, err := newEncoder(s.Compression == "zstd")
	if err != nil {
		return nil, err
	}
	w := &Writer{
		out: out, class: o.Class, head: Header{Stream: s.Stream, Receiver: s.Name}, next: 1,
		bytes: o.BatchBytes, linger: o.Linger, encoder: enc,
		lock: make(chan struct{}, 1), ready: make(chan *pending, writerBuilders),
		free: make(chan *builder, writerBuilders), kick: make(chan struct{}, 1), over: make(chan struct{}),
	}
	w.head.Stream[15] ^= byte(o.Class) // each class has a series of its own
	if w.bytes <= 0 || w.bytes > maxBatchBody {
		w.bytes = DefaultBatchBytes
	}
	if w.linger == 0 {
		w.linger = DefaultLinger
	}
	for range writerBuilders {
		w.free <- newBuilder(w.bytes)
	}
	return w, nil
}

// Write adds records of one connection and copies their payloads. It blocks while the core takes no more. The ticket
// is that of all records that are in, nil when none is; without records it is the newest batch's.
//
// A record above MaxRecordBytes is an error of CodeTooLarge; the records before it are in, those after it are not. When
// ctx ends meanwhile it is not known how many are in: writing them again makes duplicates.
func (w *Writer) Write(ctx context.Context, c Connection, recs []Record) (*Ticket, error) {
	return w.write(ctx, &c, recs)
}

// WriteFrom is Write for records of several connections: each comes from its own Connection.
func (w *Writer) WriteFrom(ctx context.Context, recs []Record) (*Ticket, error) {
	return w.write(ctx, nil, recs)
}

func (w *Writer) write(ctx context.Context, c *Connection, recs []Record) (*Ticket, error) {
	if err := w.acquire(ctx); err != nil {
		return nil, err
	}
	defer func() { <-w.lock }()
	if len(recs) == 0 {
		return w.last, nil
	}
	var in *Ticket
	var earlier []*Ticket
	for i := range recs {
		from := c
		if from == nil {
			from = &recs[i].Connection
		}
		if err := w.room(ctx, from, &recs[i]); err != nil {
			return span(earlier, in), err
		}
		if in != nil && in != w.last {
			earlier = append(earlier, in)
		}
		w.cur.b.add(from, &recs[i])
		in = w.last
	}
	return span(earlier, in), nil
}

func (w *Writer) acquire(ctx context.Context) error {
	select {
	case w.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// room makes sure that there is a builder with room for the record.
func (w *Writer) room(ctx context.Context, c *Connection, r *Record) error {
	if err := check(c, r); err != nil {
		return err
	}
	if w.cur != nil && !w.cur.b.fits(c, len(r.Payload), w.bytes) {
		w.turn()
	}
	if w.cur != nil {
		return nil
	}
	return w.begin(ctx)
}

// begin takes a free builder.
func (w *Writer) begin(ctx context.Context) error {
	select {
	case <-w.over:
		return errStopped // a builder may be free as well
	default:
	}
	select {
	case b := <-w.free:
		w.last = newTicket()
		w.cur = &pending{b: b, ticket: w.last}
	case <-w.over:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case w.kick <- struct{}{}:
	default:
	}
	return nil
}

// turn gives the builder its sequences and hands it to Run.
func (w *Writer) turn() {
	p := w.cur
	p.head = w.head
	p.head.First = w.next
	w.next += uint64(p.b.count)
	w.cur = nil
	w.ready <- p
}

// Run sends batches until ctx ends; then everything not yet handed over is CodeGone. It must be running before Write,
// and once: a Writer does not start again.
func (w *Writer) Run(ctx context.Context) error {
	defer w.abandon()
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case p := <-w.ready:
			err = w.send(ctx, p)
		case <-w.kick:
			timer.Reset(max(w.linger, 0))
		case <-timer.C:
			err = w.flush(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// flush hands over what has lingered. Whoever holds the lock may wait for a free builder, which only Run can give: so
// it sends what is ready until it gets the lock.
func (w *Writer) flush(ctx context.Context) error {
	for {
		select {
		case w.lock <- struct{}{}:
			if w.cur != nil {
				w.turn()
			}
			<-w.lock
			return nil
		case p := <-w.ready:
			if err := w.send(ctx, p); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// send seals a batch, frees its builder and delivers. Deliver decides on the ticket unless it returns an error.
func (w *Writer) send(ctx context.Context, p *pending) error {
	w.buf = p.b.seal(w.buf[:0], p.head, w.encoder)
	p.b.reset()
	w.free <- p.b
	if err := w.out.Deliver(ctx, w.class, w.buf, p.ticket.decide); err != nil {
		p.ticket.decide(err)
		return err
	}
	return nil
}

// Flush sends what has been written and waits until all of it is decided. It returns the last batch's outcome.
func (w *Writer) Flush(ctx context.Context) error {
	if err := w.acquire(ctx); err != nil {
		return err
	}
	if w.cur != nil {
		w.turn()
	}
	t := w.last
	<-w.lock
	return t.Wait(ctx)
}

// abandon decides what never reached the core, so that no Wait hangs.
func (w *Writer) abandon() {
	close(w.over)
	w.lock <- struct{}{}
	defer func() { <-w.lock }()
	if w.cur != nil {
		w.turn()
	}
	for {
		select {
		case p := <-w.ready:
			p.ticket.decide(errStopped)
		default:
			return
		}
	}
}
