package reserve

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// memDisk is a disk of some bytes, which the reserve shares with others.
type memDisk struct {
	mu      sync.Mutex
	space   int64
	others  int64
	file    int64 // bytes of the reserve
	thief   bool  // others take at once what comes free
	cutErr  error
	openErr error
}

func (d *memDisk) open(string) (blocks, int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d, d.file, d.openErr
}

func (d *memDisk) grow(from, to int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if from != d.file {
		return fmt.Errorf("grown from %d, %d are allocated", from, d.file)
	}
	if to-from > d.space-d.others-d.file {
		return syscall.ENOSPC
	}
	d.file = to
	return nil
}

func (d *memDisk) cut(to int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cutErr != nil {
		return d.cutErr
	}
	d.file = min(d.file, to)
	if d.thief {
		d.others = d.space - d.file
	}
	return nil
}

func (d *memDisk) close() error { return nil }

// write lets somebody else store n more bytes (or free them).
func (d *memDisk) write(n int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n > d.space-d.others-d.file {
		return fmt.Errorf("write: %w", syscall.ENOSPC)
	}
	d.others += n
	return nil
}

func (d *memDisk) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

const testSize = 8 * stepBytes

func reserveOn(tb rapid.TB, d *memDisk) *Reserve {
	r, err := open(d, "reserve", testSize)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestRoomWhenFull(t *testing.T) {
	d := &memDisk{space: 100 * stepBytes}
	r := reserveOn(t, d)
	d.set(func() { d.others = d.space - d.file })
	const small = 4096
	for i := range 100 {
		if err := r.Do(func() error { return d.write(small) }); err != nil {
			t.Fatalf("write %d: %v", i, err)
		}
		if s := r.State(); s.Held < testSize-int64(i+1)*small-2*grainBytes {
			t.Fatalf("after %d writes %d bytes are held", i+1, s.Held)
		}
	}
}

// TestUsedUp lets somebody take every byte that is given up: an error ends it.
func TestUsedUp(t *testing.T) {
	d := &memDisk{space: 100 * stepBytes}
	r := reserveOn(t, d)
	d.set(func() { d.others, d.thief = d.space-d.file, true })
	calls := 0
	err := r.Do(func() error { calls++; return d.write(1) })
	if !errors.Is(err, syscall.ENOSPC) || calls != testSize/stepBytes+1 {
		t.Fatalf("%d calls: %v", calls, err)
	}
	if s := r.State(); s.Held != 0 || s.Releases != testSize/stepBytes {
		t.Fatalf("%+v", s)
	}
}

func TestQuotaCountsAsFull(t *testing.T) {
	r := reserveOn(t, &memDisk{space: 100 * stepBytes})
	calls := 0
	err := r.Do(func() error {
		if calls++; calls < 3 {
			return syscall.EDQUOT
		}
		return nil
	})
	if s := r.State(); err != nil || calls != 3 || s.Held != testSize || s.Releases != 2 {
		t.Fatalf("%d calls, %+v: %v", calls, s, err)
	}
}

func TestOtherErrorsPass(t *testing.T) {
	r := reserveOn(t, &memDisk{space: 100 * stepBytes})
	bad := errors.New("input/output error")
	if err := r.Do(func() error { return bad }); err != bad { //nolint:errorlint // must be the same, unwrapped
		t.Fatal(err)
	}
	if s := r.State(); s.Releases != 0 {
		t.Fatalf("%+v", s)
	}
}

// TestRefill takes back what comes free, also without anybody in need, but does
// not ask a full disk at every call.
func TestRefill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &memDisk{space: 100 * stepBytes, others: 100 * stepBytes}
		r := reserveOn(t, d)
		if s := r.State(); s.Held != 0 || !errors.Is(s.Err, syscall.ENOSPC) {
			t.Fatalf("%+v", s)
		}
		idle := func() error { return nil }
		d.set(func() { d.others = 98 * stepBytes })
		for _, step := range []struct{ wait, held int64 }{{0, 0}, {1, 2 * stepBytes}} {
			elapse(t, step.wait)
			if err := r.Do(idle); err != nil || r.State().Held != step.held {
				t.Fatalf("%+v: %v", r.State(), err)
			}
		}
		d.set(func() { d.others = 0 })
		elapse(t, 1)
		if err := r.Do(idle); err != nil || r.State().Held != testSize || r.State().Err != nil {
			t.Fatalf("%+v: %v", r.State(), err)
		}
	})
}

func TestCutFails(t *testing.T) {
	d := &memDisk{space: 100 * stepBytes}
	r := reserveOn(t, d)
	d.set(func() { d.others, d.cutErr = d.space-d.file, errors.New("read-only") })
	if err := r.Do(func() error { return d.write(1) }); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if s := r.State(); s.Held != testSize {
		t.Fatalf("%+v", s)
	}
}

func TestAfterClose(t *testing.T) {
	d := &memDisk{space: 100 * stepBytes}
	r := reserveOn(t, d)
	for range 2 {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	d.set(func() { d.others = d.space - d.file })
	if err := r.Do(func() error { return d.write(1) }); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := r.Do(func() error { return nil }); err != nil {
		t.Fatal(err)
	}
}

// TestNoRefillBesideNeed ends a call while another still needs what was given up.
func TestNoRefillBesideNeed(t *testing.T) {
	d := &memDisk{space: 100 * stepBytes}
	r := reserveOn(t, d)
	d.set(func() { d.others = d.space - d.file })
	calls := 0
	err := r.Do(func() error {
		if calls++; calls == 2 {
			if err := r.Do(func() error { return d.write(stepBytes + 1) }); err != nil {
				return err
			}
		}
		return d.write(stepBytes / 2)
	})
	if err != nil || calls != 2 {
		t.Fatalf("%d calls: %v", calls, err)
	}
	if s := r.State(); s.Releases != 2 || s.Held < testSize-2*stepBytes {
		t.Fatalf("%+v", s)
	}
}

func TestManyInNeed(t *testing.T) {
	d := &memDisk{space: 100 * stepBytes}
	r := reserveOn(t, d)
	d.set(func() { d.others = d.space - d.file })
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for range 50 {
				if err := r.Do(func() error { return d.write(1000) }); err != nil {
					t.Error(err)
				}
				_ = r.State()
			}
		})
	}
	group.Wait()
	d.set(func() { d.others = 0 })
	if err := r.Do(func() error { return syscall.ENOSPC }); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if s := r.State(); s.Held != testSize || s.Err != nil || d.file != testSize {
		t.Fatalf("%+v, %d allocated", s, d.file)
	}
}

// TestModel lets others fill and free the disk at will: a call ends for want of
// space only when nothing was held that could have helped.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &memDisk{space: 20 * stepBytes, others: rapid.Int64Range(0, 20*stepBytes).Draw(t, "others")}
		r := reserveOn(t, d)
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				n := rapid.Int64Range(1, 2*stepBytes).Draw(t, "bytes")
				d.mu.Lock()
				room := d.space - d.others
				d.mu.Unlock()
				if err := r.Do(func() error { return d.write(n) }); (err == nil) != (n <= room) {
					t.Fatalf("%d bytes where %d could be had: %v", n, room, err)
				}
			},
			"others": func(t *rapid.T) {
				d.mu.Lock()
				defer d.mu.Unlock()
				d.others = rapid.Int64Range(0, d.space-d.file).Draw(t, "others")
			},
			"restart": func(t *rapid.T) {
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
				r = reserveOn(t, d)
			},
			"": func(t *rapid.T) {
				s := r.State()
				if s.Held != d.file || s.Held > testSize || (s.Err == nil) != (s.Held == testSize) {
					t.Fatalf("%+v, %d allocated", s, d.file)
				}
			},
		})
	})
}

// elapse lets seconds of synthetic time pass.
func elapse(t *testing.T, seconds int64) {
	t.Helper()
	<-time.After(time.Duration(seconds) * time.Second)
}
