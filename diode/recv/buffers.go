package recv

import (
	"math/bits"
	"sync"
)

const (
	minBuffer   = 9       // log2 of the smallest batch buffer, 512 bytes
	maxBuffer   = 21      // log2 of the largest, diode.MaxBatchBytes
	keepBuffers = 8 << 20 // bytes of returned buffers kept per size
)

// buffers hands out batch buffers and takes them back, so that a busy link
// does not allocate. Safe for concurrent use.
type buffers struct {
	mu   sync.Mutex // guards free
	free [maxBuffer + 1][][]byte
}

func bufferSize(n int) int { return max(minBuffer, bits.Len(uint(max(n, 1)-1))) }

// get returns a buffer of length n.
func (p *buffers) get(n int) []byte {
	size := bufferSize(n)
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.free[size]
	if len(list) == 0 {
		return make([]byte, n, 1<<size)
	}
	b := list[len(list)-1]
	p.free[size] = list[:len(list)-1]
	return b[:n]
}

func (p *buffers) put(b []byte) {
	size := bufferSize(cap(b))
	if cap(b) != 1<<size || size > maxBuffer {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free[size])<<size < keepBuffers {
		p.free[size] = append(p.free[size], b)
	}
}

// shardPool hands out shard buffers of one capacity. Not safe for concurrent
// use.
type shardPool struct {
	free  [][]byte
	size  int   // capacity of each
	inUse int64 // bytes
}

const slabShards = 64 // shards allocated together

// get returns an empty buffer with room for n bytes.
func (p *shardPool) get(n int) []byte {
	if n > p.size {
		p.size, p.free = n, nil
	}
	if len(p.free) == 0 {
		slab := make([]byte, slabShards*p.size)
		for i := range slabShards {
			p.free = append(p.free, slab[i*p.size:i*p.size:(i+1)*p.size])
		}
	}
	b := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	p.inUse += int64(cap(b))
	return b[:0]
}

func (p *shardPool) put(b []byte) {
	p.inUse -= int64(cap(b))
	if cap(b) == p.size {
		p.free = append(p.free, b[:0])
	}
}
