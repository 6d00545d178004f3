package spool_test

import (
	"bytes"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/spool"
)

// What was taken in before a change of epoch keeps its own, however many follow.
func TestEveryEntryTellsItsEpoch(t *testing.T) {
	dir := t.TempDir()
	var want [][16]byte
	for range 3 {
		l := mustOpen(t, dir, spool.Options{})
		for range 2 {
			if _, err := l.Append(t.Context(), 1, []byte("x")); err != nil {
				t.Fatal(err)
			}
			want = append(want, l.Epoch())
		}
		for i, epoch := range want {
			e, err := l.Read(uint64(i+1), nil)
			if err != nil || e.Epoch != epoch {
				t.Fatalf("entry %d: epoch %x, want %x, %v", i+1, e.Epoch, epoch, err)
			}
		}
		if last, ok, err := l.Last(); err != nil || !ok || last.Epoch != l.Epoch() {
			t.Fatalf("last: %+v %v %v", last, ok, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		files := segmentFiles(t, dir)
		edit(t, files[len(files)-1], func(b []byte) []byte { return append(b, bytes.Repeat([]byte("x"), 5000)...) })
	}
	if want[0] == want[2] || want[2] == want[4] {
		t.Fatal("the epoch did not change")
	}
}
