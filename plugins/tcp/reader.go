package tcp

import (
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/internal/syslogtime"
	"github.com/sluice-gateway/sluice/sdk"
)

// Sizes of buffers (ours). A quiet connection holds restBytes; a busy one borrows a pooled block; one whose message is
// longer than that has its own buffer until the message is through.
const (
	restBytes    = 512
	blockBytes   = 64 << 10
	blockRecords = 128 // records per Write: enough to spread its cost, few enough to keep the block small
	countBytes   = 8   // "524288 " and what decides behind it
)

type block struct {
	bytes   [blockBytes]byte
	records [blockRecords]sdk.Record
}

// blocks holds no state, only memory: it is shared so that memory follows the busy connections, not the open ones.
var blocks = sync.Pool{New: func() any { return new(block) }}

// reader turns the bytes of one connection into records.
//
//	    start        end
//	      ▼           ▼
//	┌─────┬───────────┬─────────┐
//	│ cut │  pending  │  space  │  buf: rest, a block's bytes or an own buffer
//	└─────┴───────────┴─────────┘
type reader struct {
	framing    framing
	buf        []byte
	start, end int
	rest       [restBytes]byte
	block      *block // nil at rest
	used       int    // records of the block that point somewhere
	received   time.Time
}

func newReader(maxMessage int) *reader {
	r := &reader{framing: framing{max: maxMessage}}
	r.buf = r.rest[:]
	return r
}

// space is where the next bytes go; it is never empty.
func (r *reader) space() []byte {
	if r.start > 0 {
		r.move(r.buf) // what is pending is the beginning of one message
	}
	if r.end == len(r.buf) {
		r.grow()
	}
	return r.buf[r.end:]
}

// grow moves what is pending into the next larger buffer. The framing refuses a message before the largest is full.
func (r *reader) grow() {
	if len(r.buf) < blockBytes {
		r.borrow()
		r.move(r.block.bytes[:])
		return
	}
	r.move(make([]byte, r.framing.max+countBytes+blockBytes))
}

// shrink gives the large buffers back when what is pending fits a small one.
func (r *reader) shrink() {
	n := r.end - r.start
	busy := r.end > blockBytes/16 // the last read brought a lot: more is on its way
	if len(r.buf) > blockBytes && n <= blockBytes/2 {
		r.move(r.block.bytes[:])
	}
	if len(r.buf) == blockBytes && n <= restBytes/2 && !busy {
		r.move(r.rest[:])
	}
	if len(r.buf) == restBytes {
		r.release()
	}
}

func (r *reader) move(to []byte) {
	r.end = copy(to, r.pending())
	r.start, r.buf = 0, to
}

func (r *reader) borrow() {
	if r.block == nil {
		r.block, _ = blocks.Get().(*block)
	}
}

// release forgets the records first: they point into buffers that may be much larger than a block.
func (r *reader) release() {
	if r.block == nil {
		return
	}
	clear(r.block.records[:r.used])
	blocks.Put(r.block)
	r.block, r.used = nil, 0
}

// fill says that n bytes have been read into space at the given time.
func (r *reader) fill(n int, received time.Time) {
	r.end += n
	r.received = received
}

// pending is what has not been cut yet.
func (r *reader) pending() []byte { return r.buf[r.start:r.end] }

// records returns the next records, none when more bytes are needed. They are valid until the next call of any method.
// With an error, the records before the bad frame are returned too.
func (r *reader) records() ([]sdk.Record, error) {
	r.borrow()
	recs := r.block.records[:0]
	defer func() { r.used = max(r.used, len(recs)) }()
	for len(recs) < cap(recs) {
		message, n, err := r.framing.next(r.pending())
		if err != nil || n == 0 {
			return recs, err
		}
		r.start += n
		if len(message) > 0 {
			recs = append(recs, r.record(message))
		}
	}
	return recs, nil
}

func (r *reader) record(message []byte) sdk.Record {
	return sdk.Record{Kind: sdk.KindSyslog, Received: r.received, Event: syslogtime.Of(message, r.received), Payload: message}
}

// last returns the unfinished line at the end of the connection as a record, or tells that a frame is incomplete.
func (r *reader) last() (recs []sdk.Record, truncated bool) {
	message, truncated := r.framing.rest(r.pending())
	if message == nil {
		return nil, truncated
	}
	return []sdk.Record{r.record(message)}, truncated
}
