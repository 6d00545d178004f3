package ledger

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// FuzzReplay reads any bytes as a log, and as the events of a frame: whatever
// they say adds up after reconcile, and a compaction says the same.
func FuzzReplay(f *testing.F) {
	files, err := filepath.Glob("testdata/*.vector")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, path := range files {
		for _, log := range logsOf(f, path) {
			f.Add(log)
			for off := logHeaderBytes; off < len(log); {
				events, size, ok := frameAt(log, off)
				if !ok {
					break
				}
				f.Add(bytes.Clone(events))
				off += size
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		checkReplay(t, b)
		if len(b) <= maxFrameBytes {
			log := appendLogHeader(nil)
			checkReplay(t, appendFrame(log, b, int64(len(log))))
		}
	})
}

func logsOf(f *testing.F, path string) [][]byte {
	f.Helper()
	x, err := os.Open(path)
	if err != nil {
		f.Fatal(err)
	}
	defer x.Close() //nolint:errcheck // only read
	var logs [][]byte
	for s := bufio.NewScanner(x); s.Scan(); {
		if text, ok := strings.CutPrefix(s.Text(), "log: "); ok {
			log, err := hex.DecodeString(text)
			if err != nil {
				f.Fatal(err)
			}
			logs = append(logs, log)
		}
	}
	return logs
}

func checkReplay(t *testing.T, b []byte) {
	t.Helper()
	s := newState(1000)
	out, err := replay(b, s)
	if err != nil {
		return
	}
	if out.end+out.torn != int64(len(b)) || out.damaged > out.end {
		t.Fatalf("%d bytes: %+v", len(b), out)
	}
	s.reconcile()
	for _, r := range s.totals() {
		sum := r.Repeat
		sum.add(r.Resend)
		sum.add(r.Final)
		sum.add(r.Open)
		if sum != r.Declared {
			t.Fatalf("does not add up: %+v", r)
		}
	}
	l := &Ledger{state: s}
	log, err := l.frames()
	if err != nil {
		return // more ranges than a ledger ever has
	}
	again := newState(1000)
	if out, err := replay(log, again); err != nil || out.damaged+out.torn != 0 {
		t.Fatalf("compacted: %v, %+v", err, out)
	}
	if got, want := (&Ledger{state: again}).Missing(), l.Missing(); !reflect.DeepEqual(got, want) {
		t.Fatalf("compacted: %v, was %v", got, want)
	}
	if got, want := (&Ledger{state: again}).List(Query{}), l.List(Query{}); !reflect.DeepEqual(got, want) {
		t.Fatalf("compacted: %+v, was %+v", got, want)
	}
	if got, want := again.totals(), s.totals(); !reflect.DeepEqual(got, want) {
		t.Fatalf("compacted: %+v, was %+v", got, want)
	}
}
