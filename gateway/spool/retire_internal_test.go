package spool

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestNewCursorKeepsWhatOthersHavePassed makes a cursor when the others are done:
// what was stamped as passed by all is not any more.
func TestNewCursorKeepsWhatOthersHavePassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := open(newMemFS(), Options{SegmentBytes: 4 << 10, KeepSent: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		early, err := l.Cursor("early")
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			if _, err := l.Append(t.Context(), 1, make([]byte, 200)); err != nil {
				t.Fatal(err)
			}
		}
		ackUpTo(t, early, 100)
		late, err := l.Cursor("late")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Hour)
		if first, _, _ := l.Bounds(); first != 1 {
			t.Fatalf("first is %d, a cursor stands at %d", first, late.Acked())
		}
		ackUpTo(t, late, 100)
		if n := l.Stats().Segments; n != 1 {
			t.Fatalf("%d segments after all have passed and the time is over", n)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestKeepSentCountsFromTheLastCursor keeps a segment for its time after it was
// passed, not after it was written.
func TestKeepSentCountsFromTheLastCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := open(newMemFS(), Options{SegmentBytes: 4 << 10, KeepSent: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		c, err := l.Cursor("sink")
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			if _, err := l.Append(t.Context(), 1, make([]byte, 200)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Hour)
		ackUpTo(t, c, 100)
		time.Sleep(30 * time.Minute)
		if first, _, _ := l.Bounds(); first != 1 {
			t.Fatalf("first is %d after half the time", first)
		}
		time.Sleep(time.Hour)
		if n := l.Stats().Segments; n != 1 {
			t.Fatalf("%d segments after the time", n)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
