package trafficgen_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leodido/go-syslog/v4/rfc5424"

	"github.com/sluice-gateway/sluice/test/trafficgen"
)

func TestDatagramsAreDistinctAndRepeat(t *testing.T) {
	var first []string
	seen, sizes := map[string]int{}, map[int]bool{}
	for i, d := range trafficgen.Datagrams(7, 20000, 1, 1400) {
		if j, ok := seen[string(d)]; ok {
			t.Fatalf("%d equals %d", i, j)
		}
		seen[string(d)], sizes[len(d)] = i, true
		first = append(first, string(d))
	}
	if len(sizes) != 1400 || !sizes[1] || !sizes[1400] {
		t.Errorf("%d sizes, want 1 to 1400", len(sizes))
	}
	for i, d := range trafficgen.Datagrams(7, 20000, 1, 1400) {
		if string(d) != first[i] {
			t.Fatalf("%d differs the second time", i)
		}
	}
	for i, d := range trafficgen.Datagrams(8, 20000, 8, 1400) {
		if _, ok := seen[string(d)]; ok {
			t.Fatalf("%d of another seed is the same", i)
		}
	}
}

func TestManyShortDatagrams(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range trafficgen.Datagrams(1, 70000, 1, 2) {
		seen[string(d)] = true
	}
	if len(seen) != 70000 {
		t.Errorf("%d distinct of 70000", len(seen))
	}
}

func TestMessagesAreSyslog(t *testing.T) {
	parser := rfc5424.NewParser()
	seen := map[string]bool{}
	for i, m := range trafficgen.Messages(3, 2000) {
		if _, err := parser.Parse(m); err != nil {
			t.Fatalf("%d: %v: %s", i, err, m)
		}
		if bytes.ContainsAny(m, "\n\x00") || seen[string(m)] {
			t.Fatalf("%d: %s", i, m)
		}
		seen[string(m)] = true
	}
}

func TestFrames(t *testing.T) {
	if got := trafficgen.OctetCounted.Frame(nil, []byte("abc")); string(got) != "3 abc" {
		t.Errorf("got %q", got)
	}
	if got := trafficgen.LineFeed.Frame(nil, []byte("abc")); string(got) != "abc\n" {
		t.Errorf("got %q", got)
	}
}

func TestSendKeepsTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s, err := trafficgen.Send(t.Context(), io.Discard, trafficgen.Messages(1, 1001), 100)
		if err != nil || s.Count != 1001 {
			t.Fatalf("%+v, %v", s, err)
		}
		if took := time.Since(start); took < 9900*time.Millisecond || took > 10*time.Second {
			t.Errorf("took %s, want 10 s", took)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if s, err := trafficgen.Send(ctx, io.Discard, trafficgen.Messages(1, 1000), 10); !errors.Is(err, context.DeadlineExceeded) || s.Count > 11 {
			t.Errorf("%+v, %v", s, err)
		}
	})
}

func TestFinishLosesNothing(t *testing.T) {
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	got := make(chan []byte, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			got <- nil
			return
		}
		b, _ := io.ReadAll(c)
		_ = c.Close()
		got <- b
	}()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	items := trafficgen.Framed(trafficgen.Messages(1, 5000), trafficgen.OctetCounted)
	s, err := trafficgen.Send(t.Context(), c, items, 0)
	if err := errors.Join(err, trafficgen.Finish(c, time.Minute)); err != nil {
		t.Fatal(err)
	}
	if b := <-got; len(b) != s.Bytes {
		t.Errorf("%d bytes arrived of %d", len(b), s.Bytes)
	}
}

func ExampleFraming_Frame() {
	fmt.Printf("%q\n", trafficgen.OctetCounted.Frame(nil, []byte("hello")))
	// Output: "5 hello"
}
