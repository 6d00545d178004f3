package recv

import (
	"testing"
)

// A reader works through what is little itself, unless its buffer is small, a
// chunk read before still waits, somebody else is at work, or the loop has
// ended: nothing may overtake, and no lock may keep it from reading.
func TestWhoWorksThroughAChunk(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*reader, *path, *chunk)
		own  bool
	}{
		{"little", func(*reader, *path, *chunk) {}, true},
		{"much", func(_ *reader, _ *path, c *chunk) { c.bytes = handOver }, false},
		{"small buffer", func(r *reader, _ *path, _ *chunk) { r.roomy = false }, false},
		{"one waits", func(_ *reader, p *path, _ *chunk) { p.queued.Add(1) }, false},
		{"locked", func(_ *reader, p *path, _ *chunk) { p.mu.Lock() }, false},
		{"ended", func(_ *reader, p *path, _ *chunk) { p.left = true }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			rx := &Receiver{full: make(chan *chunk, 1)}
			p := &path{Receiver: rx}
			home := make(chan *chunk, 1)
			r := newReader(noConn{}, true, home, rx.full)
			chunk := newChunk(p, home)
			chunk.addAt(0, 10) // no frame: it is counted
			c.set(r, p, chunk)
			if own := r.pass(chunk) == chunk; own != c.own {
				t.Fatalf("the reader worked: %v", own)
			}
			if c.own != (p.frames.BadHeader == 1) || c.own == (len(rx.full) == 1) || c.own == chunk.queued {
				t.Errorf("counted %d, waiting %d", p.frames.BadHeader, len(rx.full))
			}
		})
	}
}

// What the loop has worked through no longer keeps the reader from working.
func TestAChunkOfTheLoopIsOver(t *testing.T) {
	rx := &Receiver{full: make(chan *chunk, 1)}
	p := &path{Receiver: rx}
	home := make(chan *chunk, 1)
	r := newReader(noConn{}, false, home, rx.full)
	first := newChunk(p, home)
	if r.pass(first) != nil {
		t.Fatal("worked through with a small buffer")
	}
	rx.chunk(<-rx.full)
	if next := <-home; p.queued.Load() != 0 || next.queued {
		t.Errorf("%d still count as waiting", p.queued.Load())
	}
}
