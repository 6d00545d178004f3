package send_test

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/linktest"
	"github.com/sluice-gateway/sluice/diode/send"
)

// shelf is a source that keeps batches from one on only, and can be slow.
type shelf struct {
	*linktest.Source
	epoch map[uint64][16]byte
	from  atomic.Uint64
	slow  atomic.Int64 // nanoseconds
}

func (s *shelf) Read(seq uint64, buf []byte) (diode.Batch, error) {
	time.Sleep(time.Duration(s.slow.Load()))
	if seq < s.from.Load() {
		return diode.Batch{}, linktest.ErrNotThere
	}
	b, err := s.Source.Read(seq, buf)
	b.Epoch = s.epoch[seq]
	return b, err
}

func (s *shelf) Bounds() (first, next, sum uint64) {
	_, next, sum = s.Source.Bounds()
	return max(s.from.Load(), 1), next, sum
}

// shelved puts a shelf in place of the bulk source.
func shelved(s *shelf, more func(*send.Config)) func(*send.Config) {
	return func(c *send.Config) {
		own := c.Classes[diode.Bulk]
		src, ok := own.Source.(*linktest.Source)
		if !ok {
			panic("not the source of the bench")
		}
		s.Source = src
		own.Source = s
		c.Classes[diode.Bulk] = own
		more(c)
	}
}

func (e *ear) resent() (list []heardBatch) {
	for _, x := range e.batches(diode.Bulk) {
		if x.Flags&frame.FlagResend != 0 {
			list = append(list, x)
		}
	}
	return list
}

// What was asked for leaves again: once, in order, flagged, in its own epoch;
// what is gone is counted, and Sent does not move.
func TestResend(t *testing.T) {
	old := [16]byte{0xE}
	s := &shelf{epoch: map[uint64][16]byte{12: old}}
	listening(t, shelved(s, nothing), unlimited, func(b *bench, e *ear) {
		for i := range 40 {
			b.source.Add(make([]byte, 1000+i), 1)
		}
		b.after(time.Second)
		s.from.Store(11)
		if _, err := b.tx.Resend(diode.Bulk, []diode.Range{{First: 20, Last: 22}, {First: 9, Last: 12}, {First: 21, Last: 23}, {First: 3, Last: 4}}); err != nil {
			b.t.Fatal(err)
		}
		state, err := b.tx.Resend(diode.Bulk, []diode.Range{{First: 12, Last: 12}})
		if err != nil || state.Queued != 6 || state.Missing != 4 {
			b.t.Errorf("%+v %v", state, err)
		}
		b.after(time.Second)
		list := e.resent()
		if got := seqs(list); !slices.Equal(got, []uint64{11, 12, 20, 21, 22, 23}) {
			b.t.Errorf("resent %v", got)
		}
		for _, x := range list {
			want := [16]byte{1}
			if x.Seq == 12 {
				want = old
			}
			if x.Flags != frame.FlagResend || x.Epoch != want || len(x.data) != 999+int(x.Seq) {
				b.t.Errorf("batch %d: flags %d, epoch %x, %d bytes", x.Seq, x.Flags, x.Epoch[0], len(x.data))
			}
		}
		want := send.ResendState{Sent: 6, Missing: 4, Bytes: 6*999 + 11 + 12 + 20 + 21 + 22 + 23}
		if st := b.tx.Stats(); st.Resend != want || st.Copies != 0 || b.source.SentThrough() != 40 {
			b.t.Errorf("%+v", st)
		}
	})
}

func TestResendIsRefused(t *testing.T) {
	inBubble(t, nothing, func(b *bench) {
		for range 5 {
			b.source.Add([]byte("x"), 1)
		}
		b.after(time.Second)
		many := make([]diode.Range, 70_000)
		for i := range many {
			many[i] = diode.Range{First: 1, Last: 1}
		}
		if _, err := b.tx.Resend(diode.Bulk, many); err != nil {
			b.t.Errorf("the same range many times: %v", err)
		}
		for want, r := range map[string]diode.Range{
			"up to 5": {First: 5, Last: 6}, "range 0-1": {Last: 1}, "range 3-2": {First: 3, Last: 2},
		} {
			_, err := b.tx.Resend(diode.Bulk, []diode.Range{{First: 1, Last: 1}, r})
			if !errors.Is(err, send.ErrResend) || !strings.Contains(err.Error(), want) {
				b.t.Errorf("%v: %v", r, err)
			}
		}
		if _, err := b.tx.Resend(diode.Critical, nil); !errors.Is(err, send.ErrResend) {
			b.t.Errorf("no such class: %v", err)
		}
		b.after(time.Second)
		if st := b.tx.Stats().Resend; st.Sent != 1 || st.Queued != 0 {
			b.t.Errorf("%+v", st)
		}
	})
}

// Resending keeps to its rate on an idle line, gives way to live traffic on a
// full one, and never stops.
func TestResendRate(t *testing.T) {
	const rate, resend = 80_000_000, 8_000_000 // bit/s
	for _, busy := range []bool{false, true} {
		listening(t, func(c *send.Config) { c.RateBits, c.ResendBits = rate, resend }, unlimited, func(b *bench, e *ear) {
			for range 200 {
				b.source.Add(make([]byte, 50_000), 1)
			}
			b.after(5 * time.Second)
			if busy {
				for range 2000 {
					b.source.Add(make([]byte, 50_000), 1)
				}
			}
			if _, err := b.tx.Resend(diode.Bulk, []diode.Range{{First: 1, Last: 200}}); err != nil {
				b.t.Fatal(err)
			}
			b.after(5 * time.Second)
			n := len(e.resent())
			least, most := 70, 90 // 5 s of 1 MB/s, a sixth of it parity and headers
			if busy {
				least, most = 5, 13
			}
			if n < least || n > most {
				b.t.Errorf("busy %v: %d batches resent in 5 s", busy, n)
			}
			if sent := b.source.SentThrough(); busy && sent < 200+750 {
				b.t.Errorf("live traffic got to %d", sent)
			}
		})
	}
}

// What an error catches on its way is resent after it.
func TestResendSurvivesAHold(t *testing.T) {
	s := &shelf{}
	listening(t, shelved(s, func(c *send.Config) { c.RateBits, c.ResendBits = 8_000_000, 8_000_000 }), unlimited, func(b *bench, e *ear) {
		for range 50 {
			b.source.Add(make([]byte, 50_000), 1)
		}
		b.after(10 * time.Second)
		s.slow.Store(int64(10 * time.Millisecond))
		if _, err := b.tx.Resend(diode.Bulk, []diode.Range{{First: 1, Last: 50}}); err != nil {
			b.t.Fatal(err)
		}
		b.after(time.Second)
		b.link.Fail(syscall.ENETDOWN)
		b.after(time.Second)
		b.link.Fail(nil)
		b.after(20 * time.Second)
		got := seqs(e.resent())
		slices.Sort(got)
		if got = slices.Compact(got); len(got) != 50 || b.tx.Stats().Resend.Queued != 0 {
			b.t.Errorf("resent %v, %+v", got, b.tx.Stats().Resend)
		}
	})
}

// A source that is slow to read keeps neither heartbeats nor new batches
// waiting.
func TestSlowReadsDoNotStall(t *testing.T) {
	s := &shelf{}
	s.slow.Store(int64(20 * time.Second))
	listening(t, shelved(s, func(c *send.Config) { c.Repeat = []time.Duration{time.Second} }), unlimited, func(b *bench, e *ear) {
		b.after(500 * time.Millisecond)
		for range 20 {
			b.source.Add([]byte("x"), 1)
			b.after(500 * time.Millisecond)
		}
		list := e.batches(diode.Bulk)
		if len(list) != 20 || b.tx.Stats().Copies != 0 {
			b.t.Errorf("%d batches left", len(list))
		}
		if n := len(b.kinds(frame.KindHeartbeat)); n < 10 {
			b.t.Errorf("%d heartbeats in 10 s", n)
		}
		s.slow.Store(0)
		b.after(2 * time.Minute)
		if st := b.tx.Stats(); st.Copies != 20 || b.source.SentThrough() != 20 {
			b.t.Errorf("sent through %d, %+v", b.source.SentThrough(), st)
		}
	})
}
