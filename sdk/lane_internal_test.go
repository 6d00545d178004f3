package sdk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/sluice-gateway/sluice/sdk/proto"
)

// outcomes notes decisions in order.
type outcomes struct {
	mu  sync.Mutex
	all []string
}

func (o *outcomes) of(name string) func(error) {
	return func(err error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.all = append(o.all, fmt.Sprint(name, " ", CodeOf(err)))
	}
}

func (o *outcomes) want(t *testing.T, want ...string) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if !slices.Equal(o.all, want) {
		t.Errorf("decided %q, want %q", o.all, want)
	}
}

func TestAcknowledgementsAreCumulative(t *testing.T) {
	var o outcomes
	l := newLane(100, func(*proto.Batch) error { return nil })
	for i := range 6 {
		if err := l.deliver(t.Context(), make([]byte, 10), o.of(fmt.Sprint(i+1))); err != nil {
			t.Fatal(err)
		}
	}
	dropped := &Error{Code: CodeDropped}
	l.acknowledge(2, nil)
	l.acknowledge(1, dropped) // the past is decided
	l.acknowledge(3, dropped)
	l.acknowledge(4, nil)
	o.want(t, "1 ", "2 ", "3 dropped", "4 ")
	l.acknowledge(1<<60, nil) // more than was sent
	o.want(t, "1 ", "2 ", "3 dropped", "4 ", "5 ", "6 ")
	if l.credit != 100 || len(l.waiting) != 0 || l.through != 6 {
		t.Errorf("credit %d, %d waiting, through %d", l.credit, len(l.waiting), l.through)
	}
}

func TestCreditStopsAndFrees(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o outcomes
		l := newLane(25, func(*proto.Batch) error { return nil })
		for i := range 2 {
			if err := l.deliver(t.Context(), make([]byte, 10), o.of(fmt.Sprint(i+1))); err != nil {
				t.Fatal(err)
			}
		}
		third, fourth := make(chan error, 1), make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { third <- l.deliver(ctx, make([]byte, 10), o.of("3")) }()
		synctest.Wait()
		go func() { fourth <- l.deliver(ctx, make([]byte, 1), o.of("4")) }() // waits for its turn, not only for credit
		synctest.Wait()
		if len(third)+len(fourth) > 0 {
			t.Fatal("delivered without credit")
		}
		cancel()
		if a, b := <-third, <-fourth; !errors.Is(a, context.Canceled) || !errors.Is(b, context.Canceled) {
			t.Errorf("%v, %v", a, b)
		}
		go func() { third <- l.deliver(t.Context(), make([]byte, 10), o.of("3")) }()
		synctest.Wait()
		l.acknowledge(1, nil)
		if err := <-third; err != nil {
			t.Error(err)
		}
		l.acknowledge(3, nil)
		// A batch above the whole credit goes alone.
		if err := l.deliver(t.Context(), make([]byte, 99), o.of("large")); err != nil {
			t.Error(err)
		}
		l.end(&Error{Code: CodeGone})
		l.end(&Error{Code: CodeInternal})
		if err := l.deliver(t.Context(), nil, o.of("late")); CodeOf(err) != CodeGone {
			t.Errorf("after the end: %v", err)
		}
		o.want(t, "1 ", "2 ", "3 ", "large gone")
	})
}

func TestALaneEndsWithItsStream(t *testing.T) {
	var o outcomes
	broken := false
	l := newLane(1000, func(*proto.Batch) error {
		if broken {
			return errors.New("transport is closing")
		}
		return nil
	})
	for i := range 3 {
		broken = i > 0
		err := l.deliver(t.Context(), make([]byte, 10), o.of(fmt.Sprint(i)))
		if (i < 2) != (err == nil) {
			t.Errorf("batch %d: %v", i, err)
		}
	}
	o.want(t, "0 gone", "1 gone")
	if err := l.deliver(t.Context(), make([]byte, MaxBatchBytes+1), nil); CodeOf(err) != CodeTooLarge {
		t.Errorf("a batch above the limit: %v", err)
	}
}

// TestTheEndReachesWhoWaits: whoever waits for credit must see the end.
func TestTheEndReachesWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(5, func(*proto.Batch) error { return nil })
		if err := l.deliver(t.Context(), make([]byte, 5), func(error) {}); err != nil {
			t.Fatal(err)
		}
		got := make(chan error, 1)
		go func() { got <- l.deliver(t.Context(), make([]byte, 5), func(error) {}) }()
		synctest.Wait()
		l.end(&Error{Code: CodeGone})
		if err := <-got; CodeOf(err) != CodeGone {
			t.Error(err)
		}
	})
}

func TestAcknowledgementsAreJoined(t *testing.T) {
	q := newAckQueue(DefaultCredit)
	dropped := &Error{Code: CodeDropped}
	for _, err := range []error{nil, nil, dropped, dropped, nil, nil, nil} {
		decided, eerr := q.expect(10)
		if eerr != nil {
			t.Fatal(eerr)
		}
		decided(err)
	}
	var got []string
	for _, r := range q.take() {
		got = append(got, fmt.Sprint(r.through, " ", CodeOf(r.err)))
	}
	if want := []string{"2 ", "3 dropped", "4 dropped", "7 "}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if q.pending.Load() != 0 {
		t.Errorf("%d bytes pending", q.pending.Load())
	}
}

func TestTheCoreEnforcesTheCredit(t *testing.T) {
	q := newAckQueue(DefaultCredit)
	for range DefaultCredit / MaxBatchBytes {
		if _, err := q.expect(MaxBatchBytes); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := q.expect(1); CodeOf(err) != CodeRefused {
		t.Errorf("beyond the credit: %v", err)
	}
}
