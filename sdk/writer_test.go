package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

// spool is an Intake whose decisions a test makes.
type spool struct {
	gate chan struct{} // when set, a Deliver waits for an entry

	mu      sync.Mutex // guards what follows
	hold    bool
	fail    error // of the next Deliver
	batches [][]byte
	times   []time.Time
	classes []sdk.Class
	open    []func(error)
}

func (s *spool) Deliver(ctx context.Context, class sdk.Class, batch []byte, decided func(error)) error {
	if s.gate != nil {
		select {
		case <-s.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	s.batches = append(s.batches, slices.Clone(batch))
	s.times = append(s.times, time.Now())
	s.classes = append(s.classes, class)
	if s.hold {
		s.open = append(s.open, decided)
		return nil
	}
	decided(nil)
	return nil
}

// decide decides on the oldest batch that is held.
func (s *spool) decide(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[0](err)
	s.open = s.open[1:]
}

func (s *spool) records(t testing.TB) []sdk.Record {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []sdk.Record
	for _, b := range s.batches {
		_, recs := decode(t, b)
		all = append(all, recs...)
	}
	return all
}

// critical says whether a batch of that class has come.
func (s *spool) critical() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.classes, sdk.ClassCritical)
}

func (s *spool) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.batches)
}

// writer starts a Writer; the function stops it and returns Run's error.
func writer(t testing.TB, out sdk.Intake, o sdk.WriterOptions) (*sdk.Writer, func() error) {
	t.Helper()
	w, err := sdk.NewWriter(out, sdk.Setup{Name: "tcp.test", Stream: header().Stream}, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() { _ = stop() })
	return w, stop
}

func payloads(bytes int, names ...string) []sdk.Record {
	var recs []sdk.Record
	for _, n := range names {
		recs = append(recs, sdk.Record{Kind: sdk.KindOpaque, Received: time.Unix(1, 0), Payload: []byte(n + strings.Repeat(".", bytes))})
	}
	return recs
}

func write(t testing.TB, w *sdk.Writer, recs []sdk.Record) *sdk.Ticket {
	t.Helper()
	ticket, err := w.Write(t.Context(), sdk.Connection{Interface: "eth0"}, recs)
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

func TestLingerIsCountedFromTheFirstRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &spool{}
		w, stop := writer(t, s, sdk.WriterOptions{Linger: 50 * time.Millisecond})
		time.Sleep(7 * time.Millisecond)
		began := time.Now()
		for range 4 {
			write(t, w, payloads(0, "a"))
			time.Sleep(10 * time.Millisecond)
		}
		if s.count() != 0 {
			t.Fatal("sent before the linger was over")
		}
		if err := write(t, w, payloads(0, "b")).Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := s.times[0].Sub(began); got != 50*time.Millisecond || len(s.records(t)) != 5 {
			t.Errorf("%d records sent after %v, want 5 after 50ms", len(s.records(t)), got)
		}
		time.Sleep(time.Hour)
		if s.count() != 1 {
			t.Errorf("%d batches of one", s.count())
		}
		_ = stop()
	})
}

func TestNegativeLingerSendsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &spool{}
		w, stop := writer(t, s, sdk.WriterOptions{Linger: -1})
		began := time.Now()
		if err := write(t, w, payloads(0, "a")).Wait(t.Context()); err != nil || !time.Now().Equal(began) {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		_ = stop()
	})
}

func TestAFullBatchDoesNotLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &spool{}
		w, stop := writer(t, s, sdk.WriterOptions{BatchBytes: 1000, Linger: time.Hour})
		write(t, w, payloads(300, "a", "b", "c", "d"))
		synctest.Wait()
		if recs := s.records(t); len(recs) != 2 && len(recs) != 3 {
			t.Errorf("%d records of 300 bytes were sent in batches of 1000", len(recs))
		}
		_ = stop()
	})
}

// TestBackPressure: with the core taking nothing, Write blocks after a bounded number of batches; a context ends the
// wait; and when the core takes again everything arrives once and in order.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &spool{gate: make(chan struct{})}
		w, stop := writer(t, s, sdk.WriterOptions{BatchBytes: 1000, Linger: time.Millisecond})
		written, blocked := 0, make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer close(blocked)
			for {
				if _, err := w.Write(ctx, sdk.Connection{}, payloads(600, fmt.Sprint(written, " "))); err != nil {
					return
				}
				written++
			}
		}()
		time.Sleep(time.Minute)
		// Another Write, a Flush and a Wait must obey their contexts meanwhile.
		short, end := context.WithTimeout(t.Context(), time.Second)
		defer end()
		if _, err := w.Write(short, sdk.Connection{}, payloads(0, "x")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a second Write: %v", err)
		}
		if err := w.Flush(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Flush: %v", err)
		}
		cancel()
		<-blocked
		if written < 3 || written > 6 {
			t.Errorf("%d batches were taken, a Writer has 4 builders and one batch on its way", written)
		}
		close(s.gate)
		if err := w.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		recs := s.records(t)
		if len(recs) != written {
			t.Fatalf("%d records of %d", len(recs), written)
		}
		for i, r := range recs {
			if !strings.HasPrefix(string(r.Payload), fmt.Sprint(i, " ")) || r.ID.Sequence != uint64(i+1) {
				t.Errorf("record %d is %v %.10q", i, r.ID, r.Payload)
			}
		}
		_ = stop()
	})
}

func TestATicketSpansItsBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &spool{hold: true}
		w, stop := writer(t, s, sdk.WriterOptions{BatchBytes: 1000, Linger: time.Millisecond})
		first := write(t, w, payloads(10, "own batch? no: shared"))
		whole := write(t, w, payloads(700, "a", "b", "c"))
		later := write(t, w, payloads(700, "d"))
		time.Sleep(time.Second)
		if s.count() != 4 {
			t.Fatalf("%d batches, want 4", s.count())
		}
		lost := &sdk.Error{Code: sdk.CodeDropped, Detail: "no room"}
		s.decide(nil)
		if err := first.Wait(t.Context()); err != nil {
			t.Errorf("the first: %v", err)
		}
		s.decide(lost)
		select {
		case <-whole.Done():
			t.Error("done before its last batch")
		default:
		}
		s.decide(nil)
		<-whole.Done()
		if err := whole.Wait(t.Context()); !errors.Is(err, lost) {
			t.Errorf("the middle batch was lost: %v", err)
		}
		s.decide(nil)
		if err := later.Wait(t.Context()); err != nil {
			t.Errorf("a Write after the loss: %v", err)
		}
		_ = stop()
	})
}

func TestRecordsThatAreTooLarge(t *testing.T) {
	s := &spool{}
	w, _ := writer(t, s, sdk.WriterOptions{})
	recs := payloads(0, "before", "after")
	recs = slices.Insert(recs, 1, sdk.Record{Kind: sdk.KindOpaque, Payload: make([]byte, sdk.MaxRecordBytes+1)})
	ticket, err := w.Write(t.Context(), sdk.Connection{}, recs)
	if sdk.CodeOf(err) != sdk.CodeTooLarge {
		t.Fatalf("%v", err)
	}
	if err := ticket.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ticket, err = w.Write(t.Context(), sdk.Connection{}, recs[1:2]); ticket != nil || sdk.CodeOf(err) != sdk.CodeTooLarge {
		t.Errorf("nothing is in, but %v, %v", ticket, err)
	}
	if err := ticket.Wait(t.Context()); err != nil {
		t.Errorf("the ticket of nothing: %v", err)
	}
	largest := sdk.Record{Kind: sdk.KindOpaque, Payload: make([]byte, sdk.MaxRecordBytes)}
	long := sdk.Connection{Endpoint: strings.Repeat("e", sdk.MaxConnectionBytes)}
	ticket, err = w.Write(t.Context(), long, []sdk.Record{largest, largest})
	if err != nil {
		t.Fatal(err)
	}
	if err := ticket.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.records(t); len(got) != 3 || string(got[0].Payload) != "before" {
		t.Errorf("%d records", len(got))
	}
	for _, b := range s.batches {
		if len(b) > sdk.MaxBatchBytes {
			t.Errorf("a batch of %d bytes", len(b))
		}
	}
}

// TestTheLargestBatches fills batches up to the limit with what compresses badly and with many connections.
func TestTheLargestBatches(t *testing.T) {
	for _, compression := range []string{"none", "zstd"} {
		s := &spool{}
		w, err := sdk.NewWriter(s, sdk.Setup{Name: strings.Repeat("n", 255), Compression: compression},
			sdk.WriterOptions{BatchBytes: sdk.MaxBatchBytes - 4096, Linger: -1})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = w.Run(ctx) })
		var recs []sdk.Record
		for i := range 70_000 {
			recs = append(recs, sdk.Record{Kind: sdk.KindOpaque, Received: time.Unix(1, 0), Connection: sdk.Connection{Endpoint: strconv.FormatInt(int64(i), 36)}})
		}
		if _, err := w.WriteFrom(ctx, recs); err != nil {
			t.Fatal(err)
		}
		noise := make([]byte, 700<<10)
		fillRandom(noise)
		if _, err := w.WriteFrom(ctx, []sdk.Record{{Payload: noise}, {Payload: noise[:300<<10]}, {Payload: noise[:40<<10]}}); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		got := s.records(t)
		if len(got) != 70_003 || got[69_999].Connection.Endpoint != strconv.FormatInt(69_999, 36) {
			t.Errorf("%s: %d records", compression, len(got))
		}
		for _, b := range s.batches {
			if len(b) > sdk.MaxBatchBytes {
				t.Errorf("%s: a batch of %d bytes", compression, len(b))
			}
		}
		cancel()
		wg.Wait()
	}
}

func fillRandom(b []byte) {
	random := rand.NewChaCha8([32]byte{7}) // reproducible
	_, _ = random.Read(b)                  // never fails
}

func TestStoppingDecidesEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &spool{gate: make(chan struct{})}
		w, stop := writer(t, s, sdk.WriterOptions{BatchBytes: 1000, Linger: time.Millisecond})
		var tickets []*sdk.Ticket
		for range 4 {
			tickets = append(tickets, write(t, w, payloads(600, "a")))
		}
		blocked := make(chan error, 1)
		go func() {
			_, err := w.Write(t.Context(), sdk.Connection{}, payloads(900, "b", "c", "d", "e"))
			blocked <- err
		}()
		synctest.Wait()
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
		for i, ticket := range tickets {
			if err := ticket.Wait(t.Context()); err == nil {
				t.Errorf("ticket %d of a batch that never reached the core says durable", i)
			}
		}
		if err := <-blocked; sdk.CodeOf(err) != sdk.CodeGone {
			t.Errorf("a blocked Write: %v", err)
		}
		if _, err := w.Write(t.Context(), sdk.Connection{}, payloads(0, "x")); sdk.CodeOf(err) != sdk.CodeGone {
			t.Errorf("Write after Run: %v", err)
		}
		if err := w.Flush(t.Context()); err == nil {
			t.Error("Flush after Run says that the last batch is durable")
		}
	})
}

// TestStoppingDecidesWhatStillLingers: a batch that was being filled when Run ended is decided, too.
func TestStoppingDecidesWhatStillLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, stop := writer(t, &spool{}, sdk.WriterOptions{Linger: time.Hour})
		ticket := write(t, w, payloads(10, "a"))
		_ = stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := ticket.Wait(ctx); sdk.CodeOf(err) != sdk.CodeGone {
			t.Errorf("%v", err)
		}
	})
}

func TestADeliverErrorEndsTheWriter(t *testing.T) {
	broken := errors.New("broken")
	s := &spool{fail: broken}
	w, stop := writer(t, s, sdk.WriterOptions{Linger: -1})
	if err := write(t, w, payloads(0, "a")).Wait(t.Context()); !errors.Is(err, broken) {
		t.Errorf("ticket: %v", err)
	}
	if err := stop(); !errors.Is(err, broken) {
		t.Errorf("Run: %v", err)
	}
}

// TestConcurrentWriters checks under the race detector that nothing is lost, doubled or reordered within a writer.
func TestConcurrentWriters(t *testing.T) {
	const writers, writes = 8, 300
	s := &spool{}
	w, _ := writer(t, s, sdk.WriterOptions{BatchBytes: 2000, Linger: 100 * time.Microsecond})
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			c := sdk.Connection{Endpoint: fmt.Sprint(i)}
			for j := range writes {
				ticket, err := w.Write(t.Context(), c, payloads(j%700, fmt.Sprint(2*j, " "), fmt.Sprint(2*j+1, " ")))
				if err == nil && j%50 == 0 {
					err = ticket.Wait(t.Context())
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
			if err := w.Flush(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	next := map[string]int{}
	for i, r := range s.records(t) {
		if r.ID.Sequence != uint64(i+1) {
			t.Fatalf("record %d has sequence %d", i, r.ID.Sequence)
		}
		if !strings.HasPrefix(string(r.Payload), fmt.Sprint(next[r.Connection.Endpoint], " ")) {
			t.Fatalf("writer %s: %.10q out of order", r.Connection.Endpoint, r.Payload)
		}
		next[r.Connection.Endpoint]++
	}
	if len(next) != writers || next["0"] != 2*writes {
		t.Errorf("records per writer: %v", next)
	}
}

func TestAWriteOfNothing(t *testing.T) {
	s := &spool{}
	w, _ := writer(t, s, sdk.WriterOptions{Linger: -1})
	for range 2 {
		ticket, err := w.Write(t.Context(), sdk.Connection{}, nil)
		if err != nil || ticket.Wait(t.Context()) != nil {
			t.Errorf("%v, %v", ticket, err)
		}
		write(t, w, payloads(0, "a"))
	}
}

func TestClassesHaveSeriesOfTheirOwn(t *testing.T) {
	s := &spool{}
	bulk, _ := writer(t, s, sdk.WriterOptions{Linger: -1})
	critical, _ := writer(t, s, sdk.WriterOptions{Linger: -1, Class: sdk.ClassCritical})
	for _, w := range []*sdk.Writer{bulk, critical} {
		if err := write(t, w, payloads(0, "a")).Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if recs := s.records(t); recs[0].ID == recs[1].ID {
		t.Errorf("two records have the id %v", recs[0].ID)
	}
}
