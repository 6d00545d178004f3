package reserve

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// DefaultBytes is enough for years of small files: the room for the record of
	// losses and the positions of a link is counted in single MiB.
	DefaultBytes = 64 << 20
	// stepBytes is cut off at once: more than any file that is replaced with the
	// reserve's help.
	stepBytes = 1 << 20
	// grainBytes is the smallest piece taken back: what is left below it saves the
	// next small write the cut.
	grainBytes = 64 << 10
	// refillEvery is the pause between attempts to grow on a disk that is still
	// full.
	refillEvery = time.Second
)

// Reserve is one allocated file. All methods may be called from many goroutines.
type Reserve struct {
	path string
	size int64
	disk disk

	mu       sync.Mutex // guards what follows
	file     blocks     // nil: not there yet, or closed
	closed   bool
	held     int64 // bytes allocated
	needy    int   // calls of Do that have cut and are not done
	releases uint64
	tried    time.Time // when growing was last tried
	err      error     // why held is less than size
}

// disk is where the file is; tests have one of their own.
type disk interface {
	// open gives the file, made if it is missing, and how much of it is allocated
	// without a hole, in bytes from its start.
	open(path string) (blocks, int64, error)
}

// blocks is the file.
type blocks interface {
	// grow allocates [from, to) behind the end, all of it or nothing.
	grow(from, to int64) error
	// cut gives everything from to on back to the disk, durably.
	cut(to int64) error
	close() error
}

// State is a picture for a status page.
type State struct {
	Path     string
	Size     int64  // wanted, in bytes
	Held     int64  // allocated now, in bytes
	Releases uint64 // how often a piece was given up, since Open
	Err      error  // why Held is less than Size; nil when it is not
}

// Open allocates size bytes (0 means DefaultBytes) in the file at path. Folders
// above it are made with mode 0700. A disk with less space is no error: State
// says what is held, and more is taken when it comes free. Only one process may
// have a file open as a reserve.
func Open(path string, size int64) (*Reserve, error) {
	return open(osDisk{}, path, size)
}

func open(d disk, path string, size int64) (*Reserve, error) {
	switch {
	case path == "":
		return nil, errors.New("reserve: no path")
	case size < 0:
		return nil, fmt.Errorf("reserve: %s: size %d is negative", path, size)
	case size == 0:
		size = DefaultBytes
	}
	r := &Reserve{path: path, size: size, disk: d}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refill(); r.file == nil && !isFull(r.err) {
		return nil, r.err
	}
	return r, nil
}

// Do calls f, and again each time it ends for want of space (ENOSPC, EDQUOT) and
// a piece of the reserve could be given up before. It returns what f returned
// last. So f must be repeatable, and must write little: single KiB. f may run in
// several goroutines at a time.
func (r *Reserve) Do(f func() error) error {
	err := f()
	if !isFull(err) {
		r.refillIfDue()
		return err
	}
	r.mu.Lock()
	r.needy++
	r.mu.Unlock()
	for isFull(err) && r.release() {
		err = f()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.needy--; r.needy == 0 {
		r.refill()
	}
	if isFull(err) {
		return fmt.Errorf("reserve: %s: used up: %w", r.path, err)
	}
	return err
}

// release gives a piece back to the disk; false means that none is left.
func (r *Reserve) release() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil || r.held == 0 {
		return false
	}
	to := max(0, r.held-stepBytes)
	if err := r.file.cut(to); err != nil {
		r.err = fmt.Errorf("reserve: %s: %w", r.path, err)
		return false
	}
	r.held = to
	r.releases++
	return true
}

func (r *Reserve) refillIfDue() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held < r.size && r.needy == 0 && time.Since(r.tried) >= refillEvery {
		r.refill()
	}
}

// refill takes what it can get, up to size; mu is held. What others left of the
// disk is approached in halves.
func (r *Reserve) refill() {
	if r.closed || r.held >= r.size {
		return
	}
	r.tried, r.err = time.Now(), nil
	if r.file == nil && !r.openFile() {
		return
	}
	for step := r.size - r.held; step > 0 && r.held < r.size; {
		step = min(step, r.size-r.held)
		err := r.file.grow(r.held, r.held+step)
		switch {
		case err == nil:
			r.held += step
			continue
		case r.err == nil:
			r.err = fmt.Errorf("reserve: %s: %w", r.path, err)
		}
		if step /= 2; !isFull(err) || step < grainBytes {
			return
		}
	}
	if r.held == r.size {
		r.err = nil
	}
}

// openFile opens the file and keeps of it what is allocated; mu is held.
func (r *Reserve) openFile() bool {
	file, allocated, err := r.disk.open(r.path)
	if err != nil {
		r.err = fmt.Errorf("reserve: %w", err)
		return false
	}
	held := min(allocated, r.size)
	if err := file.cut(held); err != nil {
		r.err = fmt.Errorf("reserve: %s: %w", r.path, errors.Join(err, file.close()))
		return false
	}
	r.file, r.held = file, held
	return true
}

// State gives a picture.
func (r *Reserve) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return State{Path: r.path, Size: r.size, Held: r.held, Releases: r.releases, Err: r.err}
}

// Close closes the file, which stays for the next start. Do then only calls its
// function. Further calls do nothing.
func (r *Reserve) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.file == nil {
		return nil
	}
	err := r.file.close()
	r.file = nil
	if err != nil {
		return fmt.Errorf("reserve: %w", err)
	}
	return nil
}
