package tcp

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

const testMax = 4096

// cut feeds the chunks to a reader as a connection would and returns what comes out; left says what the end leaves.
func cut(chunks [][]byte) (messages []string, left string, err error) {
	r := newReader(testMax)
	defer r.release()
	for _, c := range chunks {
		for len(c) > 0 {
			n := copy(r.space(), c)
			c = c[n:]
			r.fill(n, time.Unix(1, 0))
			for {
				recs, rerr := r.records()
				for i := range recs {
					messages = append(messages, string(recs[i].Payload))
				}
				if rerr != nil {
					return messages, "", rerr
				}
				if len(recs) == 0 {
					break
				}
			}
			r.shrink()
		}
	}
	recs, truncated := r.last()
	for i := range recs {
		messages = append(messages, string(recs[i].Payload))
	}
	if truncated {
		left = "truncated"
	}
	return messages, left, nil
}

func reasonOf(err error) string {
	if f, ok := errors.AsType[*framingError](err); ok {
		return f.reason
	}
	return ""
}

func line(n int) string { return "<1>" + strings.Repeat("x", n-3) }

func counted(m string) string { return fmt.Sprintf("%d %s", len(m), m) }

var framings = []struct {
	name, in string
	want     []string
	left     string
	reason   string
}{
	{name: "nothing"},
	{name: "line", in: "<13>hello\n", want: []string{"<13>hello"}},
	{name: "lines", in: "<1>a\n<2>b\n<3>c\n", want: []string{"<1>a", "<2>b", "<3>c"}},
	{name: "carriage return stays", in: "<1>a\r\n<2>b\r\n", want: []string{"<1>a\r", "<2>b\r"}},
	{name: "empty lines", in: "\n\r\n<1>a\n\n\r\n\n<2>b\n\n", want: []string{"<1>a", "<2>b"}},
	{name: "line feed and NUL", in: "<1>a\n\x00<2>b\n\x00", want: []string{"<1>a", "<2>b"}},
	{name: "NUL inside", in: "<1>a\x00b\n", want: []string{"<1>a\x00b"}},
	{name: "unfinished line", in: "<1>a\n<2>b", want: []string{"<1>a", "<2>b"}},
	{name: "unfinished carriage return", in: "<1>a\n\r", want: []string{"<1>a"}},
	{name: "message with line feeds", in: "<1>a\n  at b\n7 times\n2026-10-11 c\n", want: []string{"<1>a", "  at b", "7 times", "2026-10-11 c"}},
	{name: "tail of digits", in: "<1>a\n42\n", want: []string{"<1>a", "42"}},
	{name: "unfinished tail of digits", in: "<1>a\n42", want: []string{"<1>a", "42"}},
	{name: "tail with a count too large", in: "<1>a\n99999 <x\n", want: []string{"<1>a", "99999 <x"}},
	{name: "counted", in: counted("<1>a") + counted("<2>bc"), want: []string{"<1>a", "<2>bc"}},
	{name: "counted with line feeds", in: counted("<1>a\nb\n") + counted("<2>c"), want: []string{"<1>a\nb\n", "<2>c"}},
	{name: "counted, line feed appended", in: counted("<1>a") + "\n" + counted("<2>c") + "\r\n", want: []string{"<1>a", "<2>c"}},
	{name: "counted, not syslog", in: "5 hello3 abc", want: []string{"hello", "abc"}},
	{name: "counted, cut in the message", in: counted("<1>a") + "9 <2>", want: []string{"<1>a"}, left: "truncated"},
	{name: "counted, cut in the count", in: counted("<1>a") + "12", want: []string{"<1>a"}, left: "truncated"},
	{name: "counted, then lines, then counted", in: counted("<1>a") + "<2>b\n" + counted("<3>c") + counted("<4>d"), want: []string{"<1>a", "<2>b", "<3>c", "<4>d"}},
	{name: "longest line", in: line(testMax) + "\n", want: []string{line(testMax)}},
	{name: "longest counted", in: counted(line(testMax)), want: []string{line(testMax)}},
	{name: "line too long", in: "<2>b\n" + line(testMax+1) + "\n", want: []string{"<2>b"}, reason: reasonTooLarge},
	{name: "count too large", in: counted("<2>b") + "4097 <1>", want: []string{"<2>b"}, reason: reasonTooLarge},
	{name: "huge count", in: "99999999999999999999 <1>", reason: reasonTooLarge},
	{name: "count of zero", in: "0 <1>a", reason: reasonCount},
	{name: "count without space", in: "12<1>a", reason: reasonCount},
	{name: "a date for a count", in: "2026-10-11 hello\n", reason: reasonCount},
	{name: "TLS hello on a clear port", in: "\x16\x03\x01\x02\x00", reason: reasonNoFraming},
	{name: "HTTP", in: "GET / HTTP/1.1\r\n", reason: reasonNoFraming},
	{name: "garbage after a count", in: counted("<1>a") + "xyz", want: []string{"<1>a"}, reason: reasonNoFraming},
	{name: "not UTF-8", in: "<1>\xff\xfe\x80\n", want: []string{"<1>\xff\xfe\x80"}},
}

func TestFramings(t *testing.T) {
	for _, c := range framings {
		t.Run(c.name, func(t *testing.T) {
			check := func(chunks [][]byte, how string) {
				got, left, err := cut(chunks)
				if fmt.Sprint(got) != fmt.Sprint(c.want) || left != c.left || reasonOf(err) != c.reason {
					t.Fatalf("%s: %q, left %q, reason %q; want %q, %q, %q", how, got, left, reasonOf(err), c.want, c.left, c.reason)
				}
			}
			in := []byte(c.in)
			check([][]byte{in}, "whole")
			check(single(in), "byte by byte")
			step := 1 + len(in)/300 // every byte of all but the longest
			for i := 0; i <= len(in); i += step {
				check([][]byte{in[:i], in[i:]}, fmt.Sprintf("split at %d", i))
			}
		})
	}
}

func single(in []byte) [][]byte {
	var chunks [][]byte
	for i := range in {
		chunks = append(chunks, in[i:i+1])
	}
	return chunks
}

// FuzzFraming holds that nothing depends on how bytes arrive and that no byte is invented.
func FuzzFraming(f *testing.F) {
	for _, c := range framings {
		f.Add([]byte(c.in), uint8(3))
	}
	f.Fuzz(func(t *testing.T, in []byte, size uint8) {
		want, wantLeft, wantErr := cut([][]byte{in})
		var chunks [][]byte
		for rest := in; len(rest) > 0; {
			n := min(len(rest), 1+int(size))
			chunks, rest = append(chunks, rest[:n]), rest[n:]
		}
		got, left, err := cut(chunks)
		if fmt.Sprint(got) != fmt.Sprint(want) || left != wantLeft || reasonOf(err) != reasonOf(wantErr) {
			t.Fatalf("in chunks of %d: %q %q %v; whole: %q %q %v", 1+int(size), got, left, err, want, wantLeft, wantErr)
		}
		at := 0
		for _, m := range got {
			i := bytes.Index(in[at:], []byte(m))
			if i < 0 || len(m) > testMax || m == "" {
				t.Fatalf("message %q is not in the input behind %d", m, at)
			}
			at += i + len(m)
		}
	})
}

// TestReaderMemory holds that a quiet connection keeps its small buffer and a long message one large enough.
func TestReaderMemory(t *testing.T) {
	r := newReader(limitMaxMessage)
	feed := func(b []byte) (n int) {
		for len(b) > 0 {
			k := copy(r.space(), b)
			b = b[k:]
			r.fill(k, time.Unix(1, 0))
			for recs := cutAll(t, r); len(recs) > 0; recs = cutAll(t, r) {
				n += len(recs)
			}
			r.shrink()
		}
		return n
	}
	for _, size := range []int{20, 600, 70_000, limitMaxMessage, 30} {
		if n := feed([]byte(counted(line(size)))); n != 1 {
			t.Fatalf("message of %d bytes: %d records", size, n)
		}
		feed([]byte("20 ")) // what is pending is small
		if len(r.buf) > blockBytes {
			t.Fatalf("after a message of %d bytes the buffer has %d", size, len(r.buf))
		}
		if n := feed([]byte(line(20))); n != 1 {
			t.Fatalf("%d records", n)
		}
	}
	if len(r.buf) != restBytes || r.block != nil {
		t.Fatalf("at rest the buffer has %d bytes", len(r.buf))
	}
}

func BenchmarkFraming(b *testing.B) {
	message := `<165>1 2026-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 - An application event log entry of a usual size, so that the numbers mean something`
	for name, frame := range map[string]string{"lines": message + "\n", "counted": counted(message)} {
		b.Run(name, func(b *testing.B) {
			in := []byte(strings.Repeat(frame, blockBytes/len(frame)))
			r := newReader(defaultMaxMessage)
			records := 0
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				for rest := in; len(rest) > 0; {
					n := copy(r.space(), rest)
					rest = rest[n:]
					r.fill(n, time.Unix(1, 0))
					for recs := cutAll(b, r); len(recs) > 0; recs = cutAll(b, r) {
						records += len(recs)
					}
					r.shrink()
				}
			}
			b.ReportMetric(float64(records)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func cutAll(tb testing.TB, r *reader) []sdk.Record {
	tb.Helper()
	recs, err := r.records()
	if err != nil {
		tb.Fatal(err)
	}
	return recs
}
