package spool

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
)

// sampleSegment is a segment of three entries and a torn one.
func sampleSegment(epoch [16]byte) []byte {
	b := segmentHead{epoch: epoch, base: 1}.encode()
	var sum uint64
	for seq := uint64(1); seq <= 4; seq++ {
		data := bytes.Repeat([]byte{byte(seq)}, 50)
		h := header{length: 50, dataCRC: crc32c(0, data), seq: seq, weight: 2, sum: sum}
		head := make([]byte, recordHeadBytes)
		h.encode(head, headerSeed(epoch, 1))
		b = append(append(b, head...), data...)
		sum += 2
	}
	return b[:len(b)-20]
}

// FuzzSegment opens a log whose only segment holds anything, and reads it.
func FuzzSegment(f *testing.F) {
	good := sampleSegment([16]byte{1})
	f.Add(good)
	f.Add(good[:len(good)-66])
	f.Add(good[:70])
	f.Add([]byte{})
	f.Add(append(bytes.Clone(good), good[segmentHeadBytes:]...))
	f.Add(append(bytes.Clone(good), make([]byte, 300)...))
	for _, at := range []int{3, 20, 70, 80, 110, 160} {
		b := bytes.Clone(good)
		b[at] ^= 0x40
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := newMemFS()
		m.files[segmentName(1)] = &inode{id: 1, data: b}
		l, err := open(m, Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, next, _ := l.Bounds()
		seq, err := l.Append(t.Context(), 1, []byte("after"))
		if err != nil || seq != next {
			t.Fatalf("%d %v", seq, err)
		}
		c, err := l.Cursor("sink")
		if err != nil {
			t.Fatal(err)
		}
		for last := uint64(0); last < seq; {
			e, err := c.Next(t.Context(), nil)
			if err != nil || e.Seq <= last {
				t.Fatalf("%d after %d: %v", e.Seq, last, err)
			}
			last = e.Seq
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzDecoders gives anything to the decoders of the small structures: what they
// accept, they encode to the same bytes.
func FuzzDecoders(f *testing.F) {
	head := make([]byte, recordHeadBytes)
	header{length: 5, dataCRC: 1, seq: 9, weight: 3, sum: 77}.encode(head, 0)
	f.Add(head)
	f.Add(segmentHead{base: 5, sum: 6}.encode())
	f.Add(mark{clean: true, last: 4, sum: 9, prev: previous{last: 2, known: true}}.encode())
	f.Add(encodeCursor(12))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := decodeHeader(b, 0); err == nil {
			again := make([]byte, recordHeadBytes)
			h.encode(again, 0)
			same(t, again, b)
		}
		if m, err := decodeMark(b); err == nil {
			if back, err := decodeMark(m.encode()); err != nil || back != m {
				t.Fatalf("%+v became %+v: %v", m, back, err)
			}
		}
		if acked, err := decodeCursor(b); err == nil {
			same(t, encodeCursor(acked), b)
		}
		if h, err := decodeSegmentHead(b); err == nil {
			if back, err := decodeSegmentHead(h.encode()); err != nil || back.base != h.base || back.sum != h.sum || back.epoch != h.epoch {
				t.Fatalf("%+v became %+v: %v", h, back, err)
			}
		}
	})
}

func same(t *testing.T, again, b []byte) {
	t.Helper()
	if !bytes.Equal(again, b[:len(again)]) {
		t.Fatalf("%x became %x", b, again)
	}
}

func TestAbsentFileRefusesWrites(t *testing.T) {
	var f absentFile
	if err := errors.Join(f.sync(), f.close()); err != nil {
		t.Fatal(err)
	}
	if err := f.writeAt(nil, 0); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if _, err := f.ReadAt(nil, 0); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
}
