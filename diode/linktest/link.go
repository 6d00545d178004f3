package linktest

import (
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"
)

// Faults says what a link does to datagrams. Probabilities are 0…1.
type Faults struct {
	Loss      float64 // of each datagram
	Burst     int     // datagrams lost together when one is lost; 0 = 1
	Duplicate float64
	Corrupt   float64 // one bit is flipped
	Truncate  float64 // the end is cut off
	Reorder   float64 // the datagram is overtaken
	Overtake  int     // by at most so many; 0 = 16
}

const (
	defaultOvertake = 16
	maxQueue        = 64 << 20              // bytes; what a 64 MiB socket buffer would hold
	flushAfter      = 5 * time.Millisecond  // overtaken datagrams arrive when nothing else comes
	stopped         = -1 * time.Millisecond // a timer that is not running
)

// Link is one direction. The near end writes, the far end reads; both may do
// so at the same time.
type Link struct {
	mu       sync.Mutex // guards what follows
	rng      *rand.Rand
	faults   Faults
	cut      bool
	fail     error
	burst    int // datagrams still to lose
	queue    [][]byte
	bytes    int
	late     []delayed
	written  int
	lost     int
	deadline time.Time
	closed   bool
	tap      func([]byte)

	arrived chan struct{} // capacity 1: something changed for the reader
}

type delayed struct {
	at int // number of the datagram after which it arrives
	b  []byte
}

// New returns a link with these faults. The same seed and datagrams give the
// same fate.
func New(seed uint64, f Faults) *Link {
	return &Link{rng: rand.New(rand.NewPCG(seed, 0x5eed)), faults: f, arrived: make(chan struct{}, 1)} //nolint:gosec // G404: repeatable on purpose
}

// Set changes the faults.
func (l *Link) Set(f Faults) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults, l.burst = f, 0
}

// Cut loses everything while on.
func (l *Link) Cut(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = on
}

// Fail makes Write answer err until called with nil.
func (l *Link) Fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = err
}

// Tap calls f with every datagram written, before its fate is known. f must
// not keep it.
func (l *Link) Tap(f func([]byte)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tap = f
}

// Counts returns how many datagrams were written and lost.
func (l *Link) Counts() (written, lost int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.written, l.lost
}

// Waiting is how many datagrams the reader could take now.
func (l *Link) Waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue)
}

// Drop discards what waits for the reader: the far process died and its
// socket with it.
func (l *Link) Drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost += len(l.queue) + len(l.late)
	l.queue, l.late, l.bytes = nil, nil, 0
}

// Inject puts a datagram before the reader, whatever the faults.
func (l *Link) Inject(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.enqueue(append([]byte(nil), b...))
}

// Write takes one datagram.
func (l *Link) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, net.ErrClosed
	}
	if l.fail != nil {
		return 0, l.fail
	}
	if l.tap != nil {
		l.tap(p)
	}
	l.written++
	if l.loses() {
		l.lost++
	} else {
		l.pass(append([]byte(nil), p...))
	}
	l.release(l.written)
	return len(p), nil
}

func (l *Link) loses() bool {
	if l.cut {
		return true
	}
	if l.burst > 0 {
		l.burst--
		return true
	}
	if !l.chance(l.faults.Loss) {
		return false
	}
	l.burst = max(l.faults.Burst, 1) - 1
	return true
}

// pass decides what arrives of a datagram that is not lost, and when.
func (l *Link) pass(b []byte) {
	if l.chance(l.faults.Corrupt) && len(b) > 0 {
		b[l.rng.IntN(len(b))] ^= 1 << l.rng.IntN(8)
	}
	if l.chance(l.faults.Truncate) && len(b) > 0 {
		b = b[:l.rng.IntN(len(b))]
	}
	if l.chance(l.faults.Duplicate) {
		l.enqueue(append([]byte(nil), b...))
	}
	if !l.chance(l.faults.Reorder) {
		l.enqueue(b)
		return
	}
	most := l.faults.Overtake
	if most == 0 {
		most = defaultOvertake
	}
	l.late = append(l.late, delayed{at: l.written + 1 + l.rng.IntN(most), b: b})
}

// release lets overtaken datagrams arrive.
func (l *Link) release(now int) {
	kept := l.late[:0]
	for _, d := range l.late {
		if d.at <= now {
			l.enqueue(d.b)
			continue
		}
		kept = append(kept, d)
	}
	l.late = kept
}

func (l *Link) chance(p float64) bool { return p > 0 && l.rng.Float64() < p }

func (l *Link) enqueue(b []byte) {
	if l.bytes+len(b) > maxQueue {
		l.lost++
		return
	}
	l.queue = append(l.queue, b)
	l.bytes += len(b)
	l.signal()
}

func (l *Link) signal() {
	select {
	case l.arrived <- struct{}{}:
	default:
	}
}

// Read returns the next datagram, cut to the length of p.
func (l *Link) Read(p []byte) (int, error) {
	for {
		n, wait, err := l.next(p)
		if err != nil || n >= 0 {
			return max(n, 0), err
		}
		l.wait(wait)
	}
}

// next returns the next datagram, or n < 0 and how long to wait at most.
func (l *Link) next(p []byte) (n int, wait time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return -1, 0, net.ErrClosed
	case !l.deadline.IsZero() && !time.Now().Before(l.deadline):
		return -1, 0, os.ErrDeadlineExceeded
	case len(l.queue) > 0:
		b := l.queue[0]
		l.queue[0] = nil
		l.queue = l.queue[1:]
		l.bytes -= len(b)
		return copy(p, b), 0, nil
	case len(l.late) > 0:
		return -1, flushAfter, nil
	default:
		return -1, stopped, nil
	}
}

func (l *Link) wait(d time.Duration) {
	if d < 0 {
		<-l.arrived
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-l.arrived:
	case <-t.C:
		l.mu.Lock()
		l.release(l.written + len(l.late) + defaultOvertake + l.faults.Overtake)
		l.mu.Unlock()
	}
}

// SetReadDeadline makes Read fail with os.ErrDeadlineExceeded from t on; only
// a time in the past wakes a Read that waits already.
func (l *Link) SetReadDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deadline = t
	l.signal()
	return nil
}

// Close ends both sides with net.ErrClosed.
func (l *Link) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.signal()
	return nil
}
