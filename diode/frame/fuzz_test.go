package frame_test

import (
	"bytes"
	"testing"

	"github.com/sluice-gateway/sluice/diode/frame"
)

func FuzzHeader(f *testing.F) {
	h := vectorShardHeader()
	f.Add(vectorSealer(f).Seal(make([]byte, 0, 512), &h, vectorShard()))
	f.Add(vectorAnnouncement(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h frame.Header
		if h.Parse(b) != nil {
			return
		}
		again := make([]byte, frame.HeaderBytes)
		h.Put(again)
		if !bytes.Equal(again, b[:frame.HeaderBytes]) {
			t.Fatalf("header changes: %x %x", again, b[:frame.HeaderBytes])
		}
	})
}

func FuzzAnnouncement(f *testing.F) {
	f.Add(vectorAnnouncement(f))
	f.Add(vectorAnnouncement(f)[:100])
	f.Fuzz(func(t *testing.T, b []byte) {
		frame.CheckAnnouncement(b, [32]byte{})
		a, err := frame.ParseAnnouncement(b)
		if err != nil {
			return
		}
		again := a.Append(nil, [32]byte{})
		cut := len(again) - 32
		if len(again) != len(b) || !bytes.Equal(again[frame.HeaderBytes:cut], b[frame.HeaderBytes:cut]) {
			t.Fatalf("announcement changes: %x %x", again, b)
		}
	})
}

func FuzzHeartbeat(f *testing.F) {
	hb := vectorHeartbeat()
	f.Add(hb.Append(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := frame.ParseHeartbeat(b)
		if err != nil {
			return
		}
		if again := h.Append(nil); !bytes.Equal(again, b) {
			t.Fatalf("heartbeat changes: %x %x", again, b)
		}
	})
}

func FuzzBatchHeader(f *testing.F) {
	f.Add(vectorShard()[frame.BlockHeaderBytes:])
	f.Add(make([]byte, frame.BatchHeaderBytes))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h frame.BatchHeader
		if h.Parse(b) != nil {
			return
		}
		again := make([]byte, frame.BatchHeaderBytes)
		h.Put(again)
		if !bytes.Equal(again, b[:frame.BatchHeaderBytes]) {
			t.Fatalf("batch header changes: %x %x", again, b)
		}
	})
}

func FuzzTest(f *testing.F) {
	test := vectorTest()
	f.Add(test.Append(nil, 64))
	f.Add(test.Append(nil, 0)[:39])
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := frame.ParseTest(b)
		if err != nil {
			return
		}
		if again := got.Append(nil, 0); !bytes.Equal(again, b[:len(again)]) {
			t.Fatalf("test frame changes: %x %x", again, b)
		}
	})
}

func FuzzDecapsulate(f *testing.F) {
	enc := vectorEncapsulation(f)
	f.Add(enc[:])
	private := vectorPrivate(f)
	f.Fuzz(func(_ *testing.T, b []byte) {
		var enc [frame.EncapsulationBytes]byte
		copy(enc[:], b)
		_, _ = frame.Decapsulate(private, enc)
	})
}
