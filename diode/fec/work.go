package fec

import "github.com/klauspost/reedsolomon"

// workspace keeps the buffers in which a codec computes: the library's own pool
// is emptied by the garbage collector, and new buffers are megabytes. Not safe
// for concurrent use: nor is the codec.
type workspace struct {
	buffers [][]byte
	size    int // bytes of each
}

// Get implements reedsolomon.WorkAllocator.
func (w *workspace) Get(n, size int) [][]byte {
	if len(w.buffers) < n || w.size < size {
		w.size = max(w.size, size)
		w.buffers = reedsolomon.AllocAligned(n, w.size)
	}
	for i := range n { // decoding has shortened them
		w.buffers[i] = w.buffers[i][:w.size]
	}
	return w.buffers[:n]
}

// Put implements reedsolomon.WorkAllocator.
func (w *workspace) Put([][]byte) {}
