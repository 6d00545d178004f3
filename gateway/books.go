package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/ledger"
	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/internal/reserve"
	"github.com/sluice-gateway/sluice/sdk"
)

const (
	// ledgerCursor keeps entries of a link's spool until the ledger has them.
	ledgerCursor = "ledger"
	// booksEvery is how often the ledger is written and its cursor moved (ours): what happened since is read from the
	// spool again after a crash.
	booksEvery = time.Second
)

// books keep the gap ledger of a group in step with its spool.
//
//	far: a gap, a late batch is durable ─┐ told, while the ledger follows
//	spool, read from the cursor on ──────┴─► ledger ─► disk ─► cursor "ledger" moves
//	spool gives up a batch ──────────────────► ledger, on disk at once; the receiver: it is missing again
//	heartbeat: what the near side still has ─► ledger: final
//
// The ledger never knows of more than the spool holds, so a crash between the two is made good by reading on.
type books struct {
	ledger *ledger.Ledger
	log    *slog.Logger
	wake   chan struct{} // holds a token when the ledger has to read the spool

	declarations atomic.Uint64 // told to the ledger since it was opened

	mu      sync.Mutex // guards what follows; taken before the ledger's own
	classes []bookOf   // by class; empty until there is a spool
	lost    func(diode.BatchID)

	heardMu sync.Mutex // guards heard
	heard   []frame.Series
}

// bookOf is one class.
type bookOf struct {
	log       *spool.Log
	cursor    *spool.Cursor
	sinks     []*spool.Cursor // all other consumers, found when first needed
	following bool            // the ledger reflects everything up to at, and is told the rest
	at        uint64
	advanced  uint64 // what the ledger was last told to have read
	retired   kept   // what the near side had when it was last made final what it had not
	declared  uint64 // declarations that there were then
}

func openBooks(dir string, room *reserve.Reserve, log *slog.Logger) (*books, error) {
	o := ledger.Options{Log: log}
	if room != nil {
		o.Write = room.Do
	}
	l, err := ledger.Open(dir, o)
	if err != nil {
		return nil, err
	}
	return &books{ledger: l, log: log, wake: make(chan struct{}, 1)}, nil
}

// follow begins to keep what the ledger has not read yet.
func (b *books) follow(o *origin) error {
	cursors, err := o.cursors(ledgerCursor)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, c := range cursors {
		b.classes = append(b.classes, bookOf{log: o.logs[i], cursor: c})
	}
	return nil
}

// lose says who has to know of batches that the spool gave up.
func (b *books) lose(f func(diode.BatchID)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost = f
}

func (b *books) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ledger.Close()
}

// stored tells that a batch is durable as entry seq. It is called by the spool's writer.
func (b *books) stored(x diode.Batch, seq uint64) {
	b.entry(x.Class, seq, func(m ledger.Mark) error {
		if !x.Late {
			return nil
		}
		return b.fill(x.BatchID, x.Weight, x.Resent, m)
	})
}

// declared tells that a gap is durable as entry seq.
func (b *books) declared(g diode.Gap, seq uint64) {
	b.entry(g.Class, seq, func(m ledger.Mark) error { return b.declare(g, m) })
}

// declare counts behind the ledger: whoever reads the count compares at least what it counts.
func (b *books) declare(g diode.Gap, m ledger.Mark) error {
	defer b.declarations.Add(1)
	return b.ledger.Declare(g, m)
}

func (b *books) fill(id diode.BatchID, weight uint32, resent bool, m ledger.Mark) error {
	f := ledger.Filled{BatchID: id, Weight: weight, How: ledger.Repeat, At: time.Now()}
	if resent {
		f.How = ledger.Resend
	}
	_, err := b.ledger.Fill(f, m)
	return err
}

// entry tells the ledger of a new entry if it follows. If not, it reads it from the spool.
func (b *books) entry(c diode.Class, seq uint64, tell func(ledger.Mark) error) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if int(c) >= len(b.classes) || !b.classes[c].following {
		return
	}
	x := &b.classes[c]
	if err := tell(x.mark(c, seq)); err != nil {
		b.log.Error("gap ledger: an entry of the spool is read again later", "class", c, "entry", seq, "error", err)
		x.following = false
		b.awake()
		return
	}
	x.at = max(x.at, seq)
}

func (x *bookOf) mark(c diode.Class, seq uint64) ledger.Mark {
	return ledger.Mark{Class: c, Spool: x.log.Epoch(), Seq: seq}
}

func (b *books) awake() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// run keeps ledger and cursors until ctx ends.
func (b *books) run(ctx context.Context) {
	tick := time.NewTicker(booksEvery)
	defer tick.Stop()
	told := complaint{log: b.log, text: "gap ledger is behind; trying again"}
	for {
		if err := b.keep(ctx); err != nil && ctx.Err() == nil {
			told.about(err)
		}
		select {
		case <-tick.C:
		case <-b.wake:
			pauseFor(ctx, tick) // what failed is not tried at once
		case <-ctx.Done():
			_ = b.sync()
			return
		}
	}
}

// pauseFor waits for the next tick.
func pauseFor(ctx context.Context, tick *time.Ticker) {
	select {
	case <-tick.C:
	case <-ctx.Done():
	}
}

// keep brings the ledger up to date, makes final what will not come any more, and writes.
func (b *books) keep(ctx context.Context) error {
	return errors.Join(b.catchUp(ctx), b.retire(), b.sync())
}

// sync writes the ledger and lets the spool forget what it has.
func (b *books) sync() error {
	b.mu.Lock()
	for c := range b.classes {
		if x := &b.classes[c]; x.following && x.at != x.advanced && x.at > 0 {
			if err := b.ledger.Advance(x.mark(diode.Class(c), x.at)); err == nil { // #nosec G115 -- few classes
				x.advanced = x.at
			}
		}
	}
	b.mu.Unlock()
	if err := b.ledger.Sync(); err != nil {
		return err
	}
	for _, m := range b.ledger.Marks() {
		b.mu.Lock()
		x, ok := b.class(m.Class)
		b.mu.Unlock()
		if ok && m.Spool == x.log.Epoch() {
			x.cursor.Ack(m.Seq)
		}
	}
	return nil
}

// class is called with mu held.
func (b *books) class(c diode.Class) (bookOf, bool) {
	if int(c) >= len(b.classes) {
		return bookOf{}, false
	}
	return b.classes[c], true
}

// catchUp reads what the ledger does not know from the spool, so that it follows.
func (b *books) catchUp(ctx context.Context) error {
	for i := range classes() {
		if err := b.catchUpClass(ctx, diode.Class(i)); err != nil { // #nosec G115 -- few classes
			return fmt.Errorf("gap ledger: class %s: %w", className(sdk.Class(i)), err) // #nosec G115 -- few classes
		}
	}
	return nil
}

// nearEnd is how few entries are read while those who write to the spool wait (ours).
const nearEnd = 16

func (b *books) catchUpClass(ctx context.Context, c diode.Class) error {
	b.mu.Lock()
	x, ok := b.class(c)
	b.mu.Unlock()
	if !ok || x.following {
		return nil
	}
	seq := b.from(c, x.log)
	for {
		_, next, _ := x.log.Bounds()
		if next-min(seq, next) <= nearEnd {
			break
		}
		var err error
		if seq, err = b.read(ctx, c, x, seq, next); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	_, next, _ := x.log.Bounds()
	seq, err := b.read(ctx, c, x, seq, next)
	if err != nil {
		return err
	}
	b.classes[c].following, b.classes[c].at = true, max(seq, 1)-1
	return nil
}

// from is the first entry that the ledger does not know. A spool that was made anew, or lost its end, gives numbers again.
func (b *books) from(c diode.Class, log *spool.Log) uint64 {
	first, next, _ := log.Bounds()
	for _, m := range b.ledger.Marks() {
		if m.Class != c {
			continue
		}
		prev, last, _, _ := log.EpochInfo()
		switch m.Spool {
		case log.Epoch():
			return min(max(first, m.Seq+1), next)
		case prev:
			return min(max(first, min(m.Seq, last)+1), next)
		}
	}
	return first
}

// read tells the ledger of the entries from seq to before next, and returns where it stopped.
func (b *books) read(ctx context.Context, c diode.Class, x bookOf, seq, next uint64) (uint64, error) {
	for seq < next {
		if err := ctx.Err(); err != nil {
			return seq, err
		}
		env, weight, err := readEnvelope(x.log, seq)
		if gone := (spool.ErrGone{}); errors.As(err, &gone) {
			seq = max(gone.First, seq+1)
			continue
		}
		if err == nil {
			err = b.take(env, weight, x.mark(c, seq))
		} else if damaged := (*spool.CorruptError)(nil); errors.As(err, &damaged) || errors.Is(err, errEnvelope) {
			err = nil // the spool itself says what it lost
		}
		if err != nil {
			return seq, err
		}
		seq++
	}
	return seq, nil
}

// take tells the ledger of one entry.
func (b *books) take(env envelope, weight uint64, m ledger.Mark) error {
	var err error
	switch {
	case env.kind == kindGap:
		err = b.declare(env.gap, m)
	case env.kind == kindLink && env.late:
		err = b.fill(env.id, uint32(weight), env.resent, m) // #nosec G115 -- of one entry
	}
	if errors.Is(err, ledger.ErrRange) {
		b.log.Error("gap ledger: an entry of the spool makes no sense", "entry", m.Seq, "error", err)
		return nil
	}
	return err
}

// readEnvelope reads the envelope of an entry. What changes the ledger is read whole, so that its checksum counts.
func readEnvelope(log *spool.Log, seq uint64) (envelope, uint64, error) {
	head, err := log.ReadHead(seq, headBytes)
	if err != nil {
		return envelope{}, 0, err
	}
	env, _, err := parseEnvelope(head.Data)
	if err != nil || env.kind != kindLink || !env.late {
		return env, head.Weight, err
	}
	e, err := log.Read(seq, nil)
	if err != nil {
		return envelope{}, 0, err
	}
	env, _, err = parseEnvelope(e.Data)
	return env, uint64(e.Weight), err
}
