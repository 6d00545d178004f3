package sinkfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/sdk"
)

func newStore(t *testing.T, path string) *store {
	t.Helper()
	s := &store{
		names: newNames(path), rotateSize: defaultRotateSize, mode: 0o640,
		log: slog.New(slog.NewTextHandler(io.Discard, nil)), open: openLocked,
	}
	t.Cleanup(s.close)
	return s
}

func lines(from, to int) []byte {
	var out []byte
	l := newLine("tcp.agents", written, false)
	for i := from; i < to; i++ {
		r := sample(uint64(i), fmt.Sprintf("<13>message %d", i))
		out = l.append(out, &r)
	}
	return out
}

func mustAppend(t *testing.T, s *store, b []byte, now time.Time) {
	t.Helper()
	if err := s.append(b, now); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ls(t *testing.T, dir string) string {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range found {
		out = append(out, d.Name())
	}
	return strings.Join(out, " ")
}

// TestTornLine cuts a file at every byte of its last line, as a crash can, and looks for what is left and known.
func TestTornLine(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "records.ndjson")
	whole, last := lines(1, 4), lines(4, 5)
	for cut := range len(last) {
		for _, zeros := range []int{0, 4096} { // a power failure can leave zeros
			torn := append(bytes.Clone(whole), last[:cut]...)
			torn = append(torn, make([]byte, zeros)...)
			if err := os.WriteFile(path, torn, 0o600); err != nil {
				t.Fatal(err)
			}
			s := newStore(t, path)
			ids, err := s.recover(written)
			if err != nil {
				t.Fatalf("cut at %d, %d zeros: %v", cut, zeros, err)
			}
			if got := content(t, path); !bytes.Equal(got, whole) {
				t.Fatalf("cut at %d, %d zeros: %d bytes are left, want %d", cut, zeros, len(got), len(whole))
			}
			for n := uint64(1); n <= 4; n++ {
				if has := ids.has(sdk.RecordID{Stream: stream, Sequence: n}); has != (n < 4) {
					t.Fatalf("cut at %d: record %d known: %t", cut, n, has)
				}
			}
			mustAppend(t, s, last, written)
			s.close()
			if got := content(t, path); !bytes.Equal(got, lines(1, 5)) {
				t.Fatalf("cut at %d: %q", cut, got)
			}
		}
	}
}

func TestForeignFileIsNotCut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	for _, text := range []string{"no line feed", "a line\nand no line feed"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := newStore(t, path).recover(written); err == nil || !strings.Contains(err.Error(), "not written by this sink") {
			t.Fatalf("%q: %v", text, err)
		}
		if got := string(content(t, path)); got != text {
			t.Fatalf("%q became %q", text, got)
		}
	}
}

func TestDamagedLineIsNotKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.ndjson")
	b := lines(1, 4)
	at := bytes.Index(b, []byte("message 2"))
	copy(b[at:], "\x00\x00\x00")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	ids, err := newStore(t, path).recover(written)
	if err != nil {
		t.Fatal(err)
	}
	for n := uint64(1); n <= 3; n++ {
		if has := ids.has(sdk.RecordID{Stream: stream, Sequence: n}); has != (n != 2) {
			t.Fatalf("record %d known: %t", n, has)
		}
	}
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	s := newStore(t, filepath.Join(dir, "r.ndjson"))
	s.rotateSize = int64(len(lines(10, 30)))
	for i := 10; i < 100; i += 10 {
		mustAppend(t, s, lines(i, i+10), written)
	}
	if got, want := ls(t, dir), "r.ndjson r.ndjson.1 r.ndjson.2 r.ndjson.3 r.ndjson.4"; got != want {
		t.Fatalf("%s, want %s", got, want)
	}
	var all []byte
	for _, n := range []string{".1", ".2", ".3", ".4", ""} {
		all = append(all, content(t, filepath.Join(dir, "r.ndjson"+n))...)
	}
	if !bytes.Equal(all, lines(10, 100)) {
		t.Fatal("the files in order are not what was written")
	}
	s.close()
	ids, err := s.recover(written)
	if err != nil {
		t.Fatal(err)
	}
	for n := uint64(10); n < 100; n++ {
		if !ids.has(sdk.RecordID{Stream: stream, Sequence: n}) {
			t.Fatalf("record %d in a closed file is not known", n)
		}
	}
}

func TestPruning(t *testing.T) {
	for _, c := range []struct {
		name      string
		keep, max int
		want      string
	}{
		{"keep", 2, 0, "r.ndjson r.ndjson.7 r.ndjson.8"},
		{"max_size", 0, 3, "r.ndjson r.ndjson.7 r.ndjson.8"},
		{"both", 1, 4, "r.ndjson r.ndjson.8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := newStore(t, filepath.Join(dir, "r.ndjson"))
			s.rotateSize = int64(len(lines(10, 20)))
			s.keep, s.maxSize = c.keep, int64(c.max)*s.rotateSize
			for i := 10; i < 100; i += 10 {
				mustAppend(t, s, lines(i, i+10), written)
			}
			if got := ls(t, dir); got != c.want {
				t.Fatalf("%s, want %s", got, c.want)
			}
			if s.maxSize > 0 {
				mustAppend(t, s, lines(10, 11), written)
				if all, err := s.names.list(); err != nil || int64(len(all))*s.rotateSize > s.maxSize {
					t.Fatalf("%d files, %v", len(all), err)
				}
			}
		})
	}
}

func TestDates(t *testing.T) {
	dir := t.TempDir()
	s := newStore(t, filepath.Join(dir, "a-{date}.ndjson"))
	s.keep = 2
	for day := range 4 {
		mustAppend(t, s, lines(10+day, 11+day), written.AddDate(0, 0, day))
	}
	if got, want := ls(t, dir), "a-2026-11-04.ndjson a-2026-11-05.ndjson a-2026-11-06.ndjson"; got != want {
		t.Fatalf("%s, want %s", got, want)
	}
	// A record of the night before, written and not acknowledged, must be known in the morning.
	s.close()
	next := newStore(t, filepath.Join(dir, "a-{date}.ndjson"))
	ids, err := next.recover(written.AddDate(0, 0, 4))
	if err != nil || !ids.has(sdk.RecordID{Stream: stream, Sequence: 13}) {
		t.Fatalf("the last record of the day before is not known, %v", err)
	}
}

func TestNames(t *testing.T) {
	n := newNames("/x/{date}.ndjson")
	for name, want := range map[string]bool{
		"2026-11-03.ndjson": true, "2026-11-03.ndjson.1": true, "2026-11-03.ndjson.10": true, "2026-11-03.ndjson.01": false,
		"2026-13-03.ndjson": false, "2026-11-03.ndjson.0": false, "2026-11-03.ndjson.gz": false, "2026-11-03.ndjsonx": false, "x.ndjson": false,
		"2026-11-03.ndjson.99999999999999999999": false, "2026-11-03.ndjson.": false, "2026": false,
	} {
		if _, ok := n.parse(name); ok != want {
			t.Fatalf("%s: %t", name, ok)
		}
	}
}

func TestRemovedFileIsNoticed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "r.ndjson")
	s := newStore(t, path)
	mustAppend(t, s, lines(1, 2), written)
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, lines(2, 3), written)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, lines(3, 4), written)
	if got := content(t, path); !bytes.Equal(got, lines(3, 4)) {
		t.Fatalf("%q", got)
	}
}

func TestSecondWriterIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.ndjson")
	first, second := newStore(t, path), newStore(t, path)
	mustAppend(t, first, lines(1, 2), written)
	if err := second.append(lines(2, 3), written); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Fatalf("second writer: %v", err)
	}
	first.close()
	mustAppend(t, second, lines(2, 3), written)
	if got := content(t, path); !bytes.Equal(got, lines(1, 3)) {
		t.Fatalf("%q", got)
	}
}

// faulty is a file that fails as told; a write that fails has written half.
type faulty struct {
	file
	fail func(op string) error
}

func (f faulty) WriteAt(b []byte, at int64) (int, error) {
	if err := f.fail("write"); err != nil {
		n, _ := f.file.WriteAt(b[:len(b)/2], at)
		return n, err
	}
	return f.file.WriteAt(b, at)
}

func (f faulty) Sync() error {
	if err := f.fail("sync"); err != nil {
		return err
	}
	return f.file.Sync()
}

func (f faulty) Truncate(n int64) error {
	if err := f.fail("truncate"); err != nil {
		return err
	}
	return f.file.Truncate(n)
}

// TestFaults lets every operation fail, alone and together, and holds that the retry leaves each line once.
func TestFaults(t *testing.T) {
	for _, faults := range [][]string{{"open"}, {"write"}, {"sync"}, {"write", "truncate"}, {"sync", "truncate"}, {"sync", "truncate", "open"}} {
		for _, dated := range []bool{false, true} {
			t.Run(fmt.Sprint(faults, dated), func(t *testing.T) {
				dir := t.TempDir()
				name := "r.ndjson"
				if dated {
					name = "{date}.ndjson"
				}
				s := newStore(t, filepath.Join(dir, name))
				broken := map[string]bool{}
				fail := func(op string) error {
					if broken[op] {
						return fmt.Errorf("%s: %w", op, unix.ENOSPC)
					}
					return nil
				}
				s.open = func(path string, mode os.FileMode) (file, error) {
					if err := fail("open"); err != nil {
						return nil, err
					}
					f, err := openLocked(path, mode)
					return faulty{f, fail}, err
				}
				mustAppend(t, s, lines(1, 3), written)
				if faults[0] == "open" {
					s.close()
				}
				for _, f := range faults {
					broken[f] = true
				}
				for range 3 {
					if err := s.append(lines(3, 5), written); !errors.Is(err, unix.ENOSPC) {
						t.Fatalf("append with %v: %v", faults, err)
					}
				}
				path := s.names.current(written)
				if got := content(t, path); !broken["truncate"] && !bytes.Equal(got, lines(1, 3)) {
					t.Fatalf("half a line is left: %q", got)
				}
				clear(broken)
				now := written
				if dated {
					now = now.AddDate(0, 0, 1) // midnight passes while the disk is full
				}
				mustAppend(t, s, lines(3, 5), now)
				got := content(t, path)
				if dated {
					got = append(got, content(t, s.names.current(now))...)
				}
				if !bytes.Equal(got, lines(1, 5)) {
					t.Fatalf("after %v: %q", faults, got)
				}
			})
		}
	}
}

// TestModeAndDirectory: the permissions are those of mode, whatever umask the process was started with.
func TestModeAndDirectory(t *testing.T) {
	for _, mode := range []os.FileMode{0o600, 0o640, 0o666} {
		dir := t.TempDir()
		s := newStore(t, filepath.Join(dir, "a/b/r.ndjson"))
		s.mode = mode
		if _, err := s.recover(written); err != nil {
			t.Fatal(err)
		}
		mustAppend(t, s, lines(1, 2), written)
		info, err := os.Stat(filepath.Join(dir, "a/b/r.ndjson"))
		if err != nil || info.Mode().Perm() != mode {
			t.Fatalf("%v, %v, want %v", info.Mode(), err, mode)
		}
	}
}
