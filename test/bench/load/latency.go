package load

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"
)

// tailPoll is how often the file is looked at, and so how exact a time is (ours).
const tailPoll = time.Millisecond

// Distribution sums up the times between sending and appearing.
type Distribution struct {
	Count int           `json:"count"`
	P50   time.Duration `json:"p50"`
	P99   time.Duration `json:"p99"`
	Max   time.Duration `json:"max"`
}

// Latency takes the time of every message from its sending to its line in a file.
type Latency struct {
	mu   sync.Mutex // guards what follows
	sent []time.Time
	took []time.Duration
	seen []bool
}

// NewLatency is for messages 0 to count-1.
func NewLatency(count uint64) *Latency {
	return &Latency{sent: make([]time.Time, count), seen: make([]bool, count)}
}

// OnSend notes that a message is about to leave.
func (l *Latency) OnSend(n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent[n] = time.Now()
}

func (l *Latency) onLine(n uint64, at time.Time) (complete bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n < uint64(len(l.seen)) && !l.seen[n] {
		l.seen[n] = true
		l.took = append(l.took, at.Sub(l.sent[n]))
	}
	return len(l.took) == len(l.seen)
}

// Tail reads a file as it grows until every message has appeared or ctx ends. The file may not exist yet.
func (l *Latency) Tail(ctx context.Context, path string) error {
	var f *os.File
	defer func() {
		if f != nil {
			_ = f.Close() // read only
		}
	}()
	var rest []byte
	buf := make([]byte, 256<<10)
	for {
		if f == nil {
			var err error
			if f, err = os.Open(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		n := 0
		if f != nil {
			var err error
			if n, err = f.Read(buf); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
		}
		var complete bool
		if rest, complete = l.lines(append(rest, buf[:n]...), time.Now()); complete {
			return nil
		}
		if n == 0 {
			if err := pause(ctx, tailPoll); err != nil {
				return err
			}
		}
	}
}

// lines takes every whole line and returns what is left of the last one.
func (l *Latency) lines(b []byte, at time.Time) (rest []byte, complete bool) {
	for {
		line, after, found := bytes.Cut(b, []byte{'\n'})
		if !found {
			return b, complete
		}
		if n, ok := Number(line); ok {
			complete = l.onLine(n, at)
		}
		b = after
	}
}

// Times sums up what has appeared so far.
func (l *Latency) Times() *Distribution {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.took) == 0 {
		return &Distribution{}
	}
	slices.Sort(l.took)
	last := len(l.took) - 1
	return &Distribution{Count: last + 1, P50: l.took[last/2], P99: l.took[last*99/100], Max: l.took[last]}
}
