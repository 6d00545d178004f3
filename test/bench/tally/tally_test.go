package tally_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/test/bench/load"
	"github.com/sluice-gateway/sluice/test/bench/tally"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCount(t *testing.T) {
	f := load.NewFrames(9)
	plain := func(n uint64) string { return string(f.Append(nil, n)) + "\n" }
	object := func(n uint64) string {
		b, err := json.Marshal(map[string]string{"id": "x", "payload": plain(n)[:load.MessageBytes]})
		if err != nil {
			t.Fatal(err)
		}
		return string(b) + "\n"
	}
	fast := func(n uint64) string {
		return `{"id":"x","payload":"` + strings.ReplaceAll(plain(n)[:load.MessageBytes], `"`, `\"`) + `"}` + "\n"
	}
	for _, test := range []struct {
		name, text string
		want       tally.Result
	}{
		{"nothing", "", tally.Result{}},
		{"lines in any order", plain(2) + plain(0) + plain(1), tally.Result{Lines: 3, Distinct: 3}},
		{"objects", fast(0) + object(1), tally.Result{Lines: 2, Distinct: 2}},
		{"twice", fast(1) + fast(1) + plain(1), tally.Result{Lines: 3, Distinct: 1, Twice: 2}},
		{"another message's text", strings.Replace(plain(1), "000000000001", "000000000002", 1), tally.Result{Lines: 1, Altered: 1}},
		{"one byte off", strings.Replace(fast(1), "plant-042", "plant-043", 1), tally.Result{Lines: 1, Altered: 1}},
		{"cut", fast(0)[:200] + "\n", tally.Result{Lines: 1, Altered: 1}},
		{"beyond the run", plain(3), tally.Result{Lines: 1, Altered: 1}},
		{"something else", "hello\n", tally.Result{Lines: 1, Altered: 1}},
		{"torn end", plain(0) + plain(1)[:50], tally.Result{Lines: 1, Distinct: 1, Altered: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := tally.Count(path, f, 3)
			if err != nil || got != test.want {
				t.Errorf("got %+v, %v; want %+v", got, err, test.want)
			}
		})
	}
	if r := (tally.Result{Distinct: 2}); r.Missing(3) != 1 || r.Missing(1) != 0 {
		t.Error("missing")
	}
}

func TestWatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	finished := make(chan struct{})
	type answer struct {
		growth tally.Growth
		err    error
	}
	answers := make(chan answer)
	go func() {
		g, err := tally.Watch(t.Context(), path, 2, finished, time.Hour)
		answers <- answer{g, err}
	}()
	begin := time.Now()
	if err := os.WriteFile(path, []byte("a\nb\nc"), 0o600); err != nil {
		t.Fatal(err)
	}
	close(finished)
	if a := <-answers; a.err != nil || a.growth.Lines != 2 || a.growth.Last.Before(begin) {
		t.Errorf("%+v", a)
	}
}

// TestWatchGivesUp: what is missing is waited for as long as was asked, and no longer.
func TestWatchGivesUp(t *testing.T) {
	finished := make(chan struct{})
	close(finished)
	g, err := tally.Watch(t.Context(), filepath.Join(t.TempDir(), "none"), 2, finished, 50*time.Millisecond)
	if err != nil || g.Lines != 0 {
		t.Errorf("%+v, %v", g, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tally.Watch(ctx, filepath.Join(t.TempDir(), "none"), 2, nil, time.Hour); err == nil {
		t.Error("no error after the end")
	}
}
