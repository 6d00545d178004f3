package tally

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

const (
	watchPoll = 5 * time.Millisecond // how exact the time of the last growth is (ours)
	// settle is how long a file that has all its lines is watched for more: a message that comes twice comes late.
	settle = 300 * time.Millisecond
)

// Growth is how a file grew.
type Growth struct {
	Lines uint64
	Last  time.Time // when it grew last
}

// Watch counts lines as they come, until there are n and nothing follows, or nothing has come for quiet since finished
// was closed. A file that does not exist has no lines yet.
func Watch(ctx context.Context, path string, n uint64, finished <-chan struct{}, quiet time.Duration) (Growth, error) {
	w := watcher{growth: Growth{Last: time.Now()}, buf: make([]byte, 1<<20)}
	defer w.close()
	tick := time.NewTicker(watchPoll)
	defer tick.Stop()
	done := false
	for {
		grew, err := w.read(path)
		if err != nil {
			return w.growth, err
		}
		if grew {
			w.growth.Last = time.Now()
			continue
		}
		select {
		case <-finished:
			if !done {
				done, finished = true, nil
				w.since = time.Now()
			}
		case <-tick.C:
		case <-ctx.Done():
			return w.growth, ctx.Err()
		}
		still := min(time.Since(w.growth.Last), time.Since(w.since))
		if done && (still > quiet || w.growth.Lines >= n && still > settle) {
			return w.growth, nil
		}
	}
}

type watcher struct {
	file   *os.File
	buf    []byte
	growth Growth
	since  time.Time // the generator finished
}

// read counts what has been added, at most one buffer of it.
func (w *watcher) read(path string) (grew bool, err error) {
	if w.file == nil {
		if w.file, err = os.Open(path); errors.Is(err, fs.ErrNotExist) {
			w.file = nil
			return false, nil
		} else if err != nil {
			return false, fmt.Errorf("tally: %w", err)
		}
	}
	k, err := w.file.Read(w.buf)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("tally: %s: %w", path, err)
	}
	w.growth.Lines += uint64(bytes.Count(w.buf[:k], []byte{'\n'}))
	return k > 0, nil
}

func (w *watcher) close() {
	if w.file != nil {
		_ = w.file.Close() // read only
	}
}
