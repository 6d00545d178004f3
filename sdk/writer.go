package sdk

import (
	"context"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Defaults of a Writer (ours, measured: see the package's benchmark).
const (
	DefaultBatchBytes = 256 << 10
	DefaultLinger     = 5 * time.Millisecond
	// writerBuilders bounds a Writer's memory: one being filled, the others on their way to the core.
	writerBuilders = 4
)

var errStopped = &Error{Code: CodeGone, Detail: "the receiver has stopped", Retryable: true}

// Ticket tells when records are decided. It belongs to a batch; many Writes share one.
type Ticket struct {
	done   chan struct{}
	err    error
	before *Ticket // the batch before, when one Write filled more than one
}

// Done is closed when the core has decided on the batch.
func (t *Ticket) Done() <-chan struct{} { return t.done }

// Wait blocks until the batch is durable (nil) or lost (see Intake.Deliver), or ctx ends.
func (t *Ticket) Wait(ctx context.Context) error {
	for ; t != nil; t = t.before {
		select {
		case <-t.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if t.err != nil {
			return t.err
		}
	}
	return nil
}

// Writer gathers records into batches and delivers them. Write may be called concurrently; Run must be running.
//
//	Write ──► builder being filled ──(full or linger)──► ready ──► Run: seal, Deliver ──► free ─┐
//	             ▲                                                                              │
//	             └──────────────────────────────────────────────────────────────────────────────┘
//
// With all builders on their way Write blocks: that is how back-pressure reaches the endpoints.
type Writer struct {
	out     Intake
	class   Class
	head    Header
	bytes   int
	linger  time.Duration
	encoder *zstd.Encoder

	lock  chan struct{} // a mutex that a context can give up on; guards the fields below
	cur   *pending      // nil when there is nothing to send
	next  uint64        // sequence of the next record
	last  *Ticket       // newest ticket handed out
	ready chan *pending // sealed in sequence order, capacity writerBuilders: sending never blocks
	free  chan *builder
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
	if s.Name == "" || len(s.Name) > 255 {
		return nil, &Error{Code: CodeConfig, Detail: fmt.Sprintf("receiver name %q must have 1 to 255 bytes", s.Name)}
	}
	w := &Writer{
		out: out, class: o.Class, head: Header{Stream: s.Stream, Receiver: s.Name}, next: 1,
		bytes: o.BatchBytes, linger: o.Linger,
		lock: make(chan struct{}, 1), ready: make(chan *pending, writerBuilders),
		free: make(chan *builder, writerBuilders), kick: make(chan struct{}, 1), over: make(chan struct{}),
	}
	w.head.Stream[15] ^= byte(o.Class) // each class has a series of its own
	if w.bytes <= 0 || w.bytes > MaxBatchBytes-4096 {
		w.bytes = DefaultBatchBytes
	}
	if w.linger == 0 {
		w.linger = DefaultLinger
	}
	if s.Compression == "zstd" {
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		if err != nil {
			return nil, fmt.Errorf("writer: zstd: %w", err)
		}
		w.encoder = enc
	}
	for range writerBuilders {
		w.free <- newBuilder(w.bytes + 4096)
	}
	return w, nil
}

// Write adds records of one connection and copies their payloads. It blocks while the core takes no more. The ticket
// is that of the last record. A record above MaxRecordBytes is an error of CodeTooLarge; the records before it are in.
func (w *Writer) Write(ctx context.Context, c Connection, recs []Record) (*Ticket, error) {
	if err := w.acquire(ctx); err != nil {
		return nil, err
	}
	defer func() { <-w.lock }()
	var spanned *Ticket
	for i := range recs {
		if len(recs[i].Payload) > MaxRecordBytes {
			return w.last, &Error{Code: CodeTooLarge, Detail: fmt.Sprintf("record of %d bytes, the limit is %d", len(recs[i].Payload), MaxRecordBytes)}
		}
		if w.cur != nil && w.cur.b.size()+len(recs[i].Payload)+64 > w.bytes {
			if i > 0 {
				spanned = w.cur.ticket
			}
			w.turn()
		}
		if err := w.begin(ctx, spanned); err != nil {
			return nil, err
		}
		w.cur.b.add(c, &recs[i])
	}
	return w.last, nil
}

func (w *Writer) acquire(ctx context.Context) error {
	select {
	case w.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin makes sure that there is a builder to fill.
func (w *Writer) begin(ctx context.Context, spanned *Ticket) error {
	select {
	case <-w.over:
		return errStopped
	default:
	}
	if w.cur != nil {
		return nil
	}
	select {
	case b := <-w.free:
		w.last = &Ticket{done: make(chan struct{}), before: spanned}
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

// Run sends batches until ctx ends; then everything not yet decided is CodeGone. It must be running before Write.
func (w *Writer) Run(ctx context.Context) error {
	defer w.abandon()
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	var buf []byte
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case p := <-w.ready:
			var err error
			if buf, err = w.send(ctx, p, buf); err != nil {
				return err
			}
		case <-w.kick:
			timer.Reset(max(w.linger, 0))
		case <-timer.C:
			if err := w.flush(ctx); err != nil {
				return err
			}
		}
	}
}

func (w *Writer) flush(ctx context.Context) error {
	// A writer that holds the lock may wait for a free builder, which only Run can give: never wait for it here.
	select {
	case w.lock <- struct{}{}:
		if w.cur != nil {
			w.turn()
		}
		<-w.lock
	case p := <-w.ready:
		if _, err := w.send(ctx, p, nil); err != nil {
			return err
		}
		select {
		case w.kick <- struct{}{}:
		default:
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

func (w *Writer) send(ctx context.Context, p *pending, buf []byte) ([]byte, error) {
	buf = p.b.seal(buf[:0], p.head, w.encoder)
	p.b.reset()
	w.free <- p.b
	t := p.ticket
	decide := func(err error) {
		t.err = err
		close(t.done)
	}
	err := w.out.Deliver(ctx, w.class, buf, decide)
	if err != nil {
		decide(err)
	}
	return buf, err
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
	if t == nil {
		return nil
	}
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
			p.ticket.err = errStopped
			close(p.ticket.done)
		default:
			return
		}
	}
}
