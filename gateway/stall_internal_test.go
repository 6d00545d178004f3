package gateway

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestOnlyAPluginThatCouldMoveDataAndDoesNotHasStalled(t *testing.T) {
	stuck := func(int) progress { return progress{waiting: 1, bytesIn: 10, taken: 5} }
	for _, c := range []struct {
		name string
		see  func(look int) progress
		want bool
	}{
		{"it reads nothing of what waits", stuck, true},
		{"nothing waits", func(int) progress { return progress{bytesIn: 10} }, false},
		{"the spool is full: it waits for a decision", func(int) progress { return progress{waiting: 1, undecided: 1} }, false},
		{"it reads slowly", func(i int) progress { return progress{waiting: 1, bytesIn: uint64(i / 11)} }, false},
		{"it delivers what it has", func(i int) progress { return progress{waiting: 1, taken: uint64(i / 11)} }, false},
		{"the spool was full for a moment every minute", func(i int) progress {
			p := stuck(i)
			if i%11 == 0 {
				p.undecided = 1
			}
			return p
		}, false},
		{"one pause", func(i int) progress {
			p := stuck(i)
			p.waiting = uint64(min(1, i%11))
			return p
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := stall{last: c.see(0)}
			got := false
			for i := 1; i <= 10*stallLooks; i++ {
				got = got || s.look(c.see(i))
			}
			if got != c.want {
				t.Errorf("stalled %v, want %v", got, c.want)
			}
		})
	}
}

func TestAStallIsFoundAfterAMinuteAndNotWatchedForLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := watchStall(t.Context(), func() progress { return progress{waiting: 1} }); !errors.Is(err, errStalled) {
			t.Error(err)
		}
		if d := time.Since(began); d != time.Minute {
			t.Errorf("after %v", d)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := watchStall(ctx, func() progress { return progress{} }); err != nil {
			t.Error(err)
		}
	})
}
