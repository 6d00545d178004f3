package sinkkics

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

// windowBytes bounds what is taken over before it is confirmed (ours: seconds of traffic at the default rate). One
// delivery more, at most sdk.MaxBodyBytes, can stand above it.
const windowBytes = 4 << 20

// window holds the datagrams that have been taken over and are not confirmed. Positions count datagrams of one Run.
//
//	   confirmed          sent
//	───────┼───────────────┼───────────────┼──► position
//	 gone  │ on their way  │    waiting    │
//	       └ marks: when these may be       └ confirmed + len(grams)
//	         taken for delivered
type window struct {
	decoder    sdk.Decoder
	grams      []gram
	confirmed  uint64
	sent       uint64
	marks      []mark
	deliveries []delivery
	bytes      int
}

type gram struct {
	payload  []byte
	delivery uint64
	record   uint32
	rejected bool // must not be sent
}

// mark says that what lies before a position may be confirmed by a call of the socket that begins at due or later.
type mark struct {
	position uint64
	due      time.Time
}

type delivery struct {
	number   uint64
	end      uint64 // position behind its last datagram
	bytes    int
	rejected []sdk.Rejection
}

func (w *window) end() uint64 { return w.confirmed + uint64(len(w.grams)) }

func (w *window) room() bool { return w.bytes < windowBytes }

// take adds a delivery; its bytes are the window's from now on.
func (w *window) take(d sdk.Delivery) {
	out := delivery{number: d.Number, bytes: len(d.Data)}
	out.rejected = w.decode(d, &out.bytes)
	out.end = w.end()
	w.bytes += out.bytes
	w.deliveries = append(w.deliveries, out)
}

func (w *window) decode(d sdk.Delivery, bytes *int) (rejected []sdk.Rejection) {
	reject := func(record uint32, e *sdk.Error) {
		rejected = append(rejected, sdk.Rejection{Number: d.Number, Record: record, Err: e})
	}
	head, err := w.decoder.Open(d.Data)
	if err != nil {
		reject(0, unreadable(err))
		return rejected
	}
	var own []byte // the decoder uses its buffer again for the next compressed body
	if head.Zstd {
		*bytes = int(head.BodyBytes)
		own = make([]byte, 0, head.BodyBytes)
	}
	var r sdk.Record
	for n := uint32(0); ; n++ {
		ok, err := w.decoder.Next(&r)
		if err != nil {
			reject(min(n, head.Count-1), unreadable(err))
			return rejected
		}
		if !ok {
			return rejected
		}
		if e := unfit(&r); e != nil {
			reject(n, e)
			continue
		}
		payload := r.Payload
		if head.Zstd {
			from := len(own)
			own = append(own, payload...)
			payload = own[from:len(own):len(own)]
		}
		w.grams = append(w.grams, gram{payload: payload, delivery: d.Number, record: n})
	}
}

// unfit says why a record can never be sent as a telemetry datagram.
func unfit(r *sdk.Record) *sdk.Error {
	if r.Kind != sdk.KindOpaque {
		return &sdk.Error{Code: sdk.CodeRefused, Detail: fmt.Sprintf("a telemetry sink takes opaque datagrams, not records of kind %s", r.Kind)}
	}
	if len(r.Payload) > maxPayload {
		return &sdk.Error{Code: sdk.CodeTooLarge, Detail: fmt.Sprintf("%d bytes, a datagram holds %d", len(r.Payload), maxPayload)}
	}
	return nil
}

func unreadable(err error) *sdk.Error {
	return &sdk.Error{Code: sdk.CodeInternal, Detail: fmt.Sprintf("this record and those behind it in its batch cannot be read: %v", err)}
}

// next returns up to n datagrams that wait, in order, appended to dst. Rejected ones count as sent.
func (w *window) next(dst [][]byte, n int) [][]byte {
	for i := w.sent - w.confirmed; i < uint64(len(w.grams)) && len(dst) < n; i++ {
		if !w.grams[i].rejected {
			dst = append(dst, w.grams[i].payload)
			continue
		}
		if len(dst) > 0 {
			break
		}
		w.sent++
	}
	return dst
}

// waiting tells how many datagrams are to be sent.
func (w *window) waiting() int {
	return int(min(w.end()-w.sent, math.MaxInt32))
}

// advance says that n datagrams have been handed to the kernel.
func (w *window) advance(n int, due time.Time) {
	w.sent += uint64(n)
	if n > 0 {
		w.marks = append(w.marks, mark{position: w.sent, due: due})
	}
}

// rewind makes everything that is not confirmed wait again.
func (w *window) rewind() {
	w.sent, w.marks = w.confirmed, w.marks[:0]
}

// due is when the oldest mark may be confirmed.
func (w *window) due() (time.Time, bool) {
	if len(w.marks) == 0 {
		return time.Time{}, false
	}
	return w.marks[0].due, true
}

// settle confirms what was due when a call began that brought no error.
func (w *window) settle(begun time.Time) {
	n := 0
	for n < len(w.marks) && !w.marks[n].due.After(begun) {
		n++
	}
	if n == 0 {
		return
	}
	w.confirm(w.marks[n-1].position)
	w.marks = slices.Delete(w.marks, 0, n)
}

// confirm gives the memory of datagrams up to a position back. It moves no others: there can be many small ones.
func (w *window) confirm(position uint64) {
	n := position - w.confirmed
	clear(w.grams[:n])
	w.grams = w.grams[n:]
	w.confirmed = position
}

// skip rejects the next datagram to be sent.
func (w *window) skip(e *sdk.Error) {
	g := &w.grams[w.sent-w.confirmed]
	g.rejected = true
	for i := range w.deliveries {
		if w.deliveries[i].number == g.delivery {
			w.deliveries[i].rejected = append(w.deliveries[i].rejected, sdk.Rejection{Number: g.delivery, Record: g.record, Err: e})
		}
	}
}

// done takes out the deliveries that are confirmed as a whole: the highest number, 0 for none, and what was rejected.
func (w *window) done() (through uint64, rejected []sdk.Rejection) {
	w.skipRejected()
	n := 0
	for ; n < len(w.deliveries) && w.deliveries[n].end <= w.confirmed; n++ {
		d := &w.deliveries[n]
		through = d.number
		rejected = append(rejected, d.rejected...)
		w.bytes -= d.bytes
	}
	w.deliveries = slices.Delete(w.deliveries, 0, n)
	return through, rejected
}

// skipRejected confirms rejected datagrams that nothing unconfirmed stands before.
func (w *window) skipRejected() {
	for len(w.grams) > 0 && w.grams[0].rejected {
		w.confirm(w.confirmed + 1)
		w.sent = max(w.sent, w.confirmed)
	}
}

func (w *window) empty() bool { return len(w.deliveries) == 0 }
