package drain_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/internal/drain"
)

func TestDrainWaitsForTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := drain.New()
		work, end := g.Begin(t.Context())
		go func() {
			<-g.Asked()
			time.Sleep(3 * time.Second) // synthetic time
			end()
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		begun := time.Now()
		if err := g.Drain(ctx); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took != 3*time.Second {
			t.Fatalf("drain took %s, the loop 3s", took)
		}
		if got, want := g.Deadline(), begun.Add(10*time.Second); !got.Equal(want) {
			t.Fatalf("deadline %s, want %s", got, want)
		}
		if work.Err() == nil {
			t.Fatal("the loop's context lives on after its end")
		}
		if err := g.Drain(ctx); err != nil {
			t.Fatalf("second drain: %v", err)
		}
	})
}

func TestDrainCutsAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := drain.New()
		work, end := g.Begin(t.Context())
		go func() {
			<-work.Done()
			end()
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("drain of a loop that hangs: %v", err)
		}
	})
}

func TestDrainBeforeTheLoop(t *testing.T) {
	g := drain.New()
	if err := g.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, end := g.Begin(t.Context())
	defer end()
	select {
	case <-g.Asked():
	default:
		t.Fatal("a loop that begins after the request does not see it")
	}
}
