package pluginhost

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func textLog(b *bytes.Buffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

func TestLinesOfAPlugin(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"level":"warn","message":"slow","peer":"a","n":3,"time":"x"}`, `level=WARN msg=slow fields.n=3 fields.peer=a`},
		{`{"@level":"error","@message":"boom"}`, `level=ERROR msg=boom`},
		{`{"@message":1}`, `level=INFO msg=1`},
		{`{"@message":null,"level":[]}`, `level=INFO msg=""`},
		{`{"message":{"a":[1]}}`, `level=INFO msg="{\"a\":[1]}"`},
		{`{"broken`, `level=INFO msg="{\"broken"`},
		{`[1,2]`, `level=INFO msg=[1,2]`},
		{`panic: out of luck`, `level=ERROR msg="panic: out of luck"`},
		{"tab\tand \x1b[31mcolour\r", `level=INFO msg="tab\tand \x1b[31mcolour"`},
		{`{"component":"the core","level":"debug"}`, `level=DEBUG msg=""`},
	} {
		var b bytes.Buffer
		s := newPluginLog(textLog(&b)).splitter()
		_, _ = fmt.Fprintln(s, c.in)
		if got := strings.TrimSpace(b.String()); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.in, got, c.want)
		}
	}
}

func TestLinesArriveInPieces(t *testing.T) {
	var b bytes.Buffer
	l := newPluginLog(textLog(&b))
	text := "one\ntwo\n\n" + strings.Repeat("x", 2*maxLine) + "\nlast"
	r, w := strings.NewReader(text), l.splitter()
	for r.Len() > 0 {
		c, _ := r.ReadByte()
		_, _ = w.Write([]byte{c})
	}
	w.flush()
	got := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(got) != 4 || got[1] != "level=INFO msg=two" || !strings.HasSuffix(got[2], `… (8192 bytes more)"`) || got[3] != "level=INFO msg=last" {
		t.Errorf("%d lines: %.200s", len(got), got)
	}
}

func TestFloodIsDroppedAndCounted(t *testing.T) {
	var b bytes.Buffer
	l := newPluginLog(textLog(&b))
	const lines = 100_000
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // do not hold back: the test is about lines
	l.run(ctx, strings.NewReader(strings.Repeat("spam\n", lines)+"panic: at the end\n"))
	out := b.String()
	passed, dropped := strings.Count(out, "msg=spam"), 0
	for line := range strings.Lines(out) {
		var n int
		if i := strings.Index(line, "lines="); i >= 0 {
			_, _ = fmt.Sscanf(line[i:], "lines=%d", &n)
		}
		dropped += n
	}
	if passed < linesBurst || passed+dropped < lines || l.panicLine() != "panic: at the end" {
		t.Errorf("%d passed, %d dropped, panic %q", passed, dropped, l.panicLine())
	}
}

func TestAttributesAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"level":"info"`)
	for i := range 1000 {
		fmt.Fprintf(&b, `,"k%d":%d`, i, i)
	}
	b.WriteString("}")
	_, _, attrs := parseLine(b.String())
	if n := len(attrs[0].Value.Group()); n != maxAttributes {
		t.Errorf("%d attributes", n)
	}
}

func FuzzParseLine(f *testing.F) {
	for _, s := range []string{"", "{", `{"@message":1}`, `{"level":"warn","message":"x","a":{"b":[]}}`, "panic: x", "{\"\x00\":\"\xff\"}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, _, attrs := parseLine(s)
		if len(attrs) > 1 {
			t.Errorf("%d attributes", len(attrs))
		}
	})
}

func FuzzGreeting(f *testing.F) {
	for _, s := range []string{"", "1|1|unix|/x|grpc|abc", "hello", "1|x|||", "||||"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		g := &greeting{line: []byte(s)}
		if len(g.judge()) > 1000 {
			t.Error("too long a message")
		}
	})
}

func TestBackoff(t *testing.T) {
	now := time.Unix(0, 0)
	h := history{backoff: defaultTiming().backoff}
	var waits []string
	for range 12 {
		w := h.fail(now, time.Second)
		waits = append(waits, w.String())
		now = now.Add(w)
	}
	want := "[1s 2s 4s 8s 16s 32s 1m0s 1m0s 1m0s 10m0s 10m0s 10m0s]"
	if got := fmt.Sprint(waits); got != want || !h.failed {
		t.Errorf("got  %s, failed %v\nwant %s", got, h.failed, want)
	}
	if w := h.fail(now, time.Minute); w != time.Second || h.failed {
		t.Errorf("after a healthy run: wait %s, failed %v", w, h.failed)
	}
}

// TestBackoffOfASlowFailer: one failure every two minutes after healthy runs never makes a component failed.
func TestBackoffOfASlowFailer(t *testing.T) {
	now := time.Unix(0, 0)
	h := history{backoff: defaultTiming().backoff}
	for range 50 {
		if w := h.fail(now, 2*time.Minute); w != time.Second || h.failed {
			t.Fatalf("wait %s, failed %v", w, h.failed)
		}
		now = now.Add(2 * time.Minute)
	}
}
