package spool_test

import (
	"fmt"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/spool"
)

// BenchmarkAppend measures durable appends of many callers that share commits.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{200, 4 << 10, 128 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			l := mustOpen(b, b.TempDir(), spool.Options{MaxBytes: 1 << 30, WhenFull: spool.DropOldest})
			data := payload(1, size)
			appendMany(b, l, data)
			b.ReportMetric(float64(b.N)/float64(max(1, l.Stats().Syncs)), "entries/sync")
		})
	}
}

func appendMany(b *testing.B, l *spool.Log, data []byte) {
	b.Helper()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	left := make(chan error, 1)
	n := b.N
	done := func(_ uint64, err error) {
		if n--; n == 0 || err != nil {
			select {
			case left <- err:
			default:
			}
		}
	}
	parts := [][]byte{data}
	b.ResetTimer()
	for range b.N {
		if err := l.AppendAsync(b.Context(), 1, done, parts...); err != nil {
			b.Fatal(err)
		}
	}
	if err := <-left; err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
}

// BenchmarkNext measures reading back through a cursor that acknowledges.
func BenchmarkNext(b *testing.B) {
	for _, size := range []int{200, 4 << 10, 128 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			l := mustOpen(b, b.TempDir(), spool.Options{})
			c := mustCursor(b, l, "sink")
			const total = 128 << 20
			count := uint64(total / size)
			data := payload(1, size)
			for range count {
				if err := l.AppendAsync(b.Context(), 1, func(uint64, error) {}, data); err != nil {
					b.Fatal(err)
				}
			}
			eventually(b, "all durable", func() bool { _, next, _ := l.Bounds(); return next == count+1 })
			readAround(b, c, count, size)
		})
	}
}

func readAround(b *testing.B, c *spool.Cursor, count uint64, size int) {
	b.Helper()
	ctx := b.Context()
	buf := make([]byte, 0, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		e, err := c.Next(ctx, buf)
		if err != nil {
			b.Fatal(err)
		}
		if e.Seq == count {
			if err := c.Rewind(1); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkThrough measures appending and reading at the same time.
func BenchmarkThrough(b *testing.B) {
	const size = 128 << 10
	l := mustOpen(b, b.TempDir(), spool.Options{MaxBytes: 2 << 30})
	c := mustCursor(b, l, "sink")
	read := make(chan error, 1)
	n := b.N
	go func() {
		var buf []byte
		for range n {
			e, err := c.Next(b.Context(), buf)
			if err != nil {
				read <- err
				return
			}
			c.Ack(e.Seq)
			buf = e.Data
		}
		read <- nil
	}()
	appendMany(b, l, payload(1, size))
	b.StartTimer()
	if err := <-read; err != nil {
		b.Fatal(err)
	}
}

// BenchmarkDropOldest measures a full log, with and without an owner that is told
// what is lost: naming reads and verifies everything once more.
func BenchmarkDropOldest(b *testing.B) {
	for _, named := range []bool{false, true} {
		b.Run(fmt.Sprintf("named=%v", named), func(b *testing.B) {
			o := spool.Options{MaxBytes: 256 << 20, WhenFull: spool.DropOldest}
			if named {
				o.Evict = func(spool.EntryHead) error { return nil }
			}
			l := mustOpen(b, b.TempDir(), o)
			data := payload(1, 128<<10)
			for l.Stats().First == 1 {
				if _, err := l.Append(b.Context(), 1, data); err != nil {
					b.Fatal(err)
				}
			}
			appendMany(b, l, data)
		})
	}
}
