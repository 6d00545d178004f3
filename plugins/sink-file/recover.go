package sinkfile

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

// Bounds of what is read at the start (ours).
const (
	// tailBytes is how far back ids are looked for: what a crash can leave written and not acknowledged is one group,
	// and the core may have lost some acknowledgements more.
	tailBytes = 64 << 20
	// maxLine is more than the longest line of ours: 1 MiB of control characters takes 6 MiB.
	maxLine = 8 << 20
)

// recover makes the files end with whole lines, has everything on disk, and returns the ids that the tail holds.
func (s *store) recover(now time.Time) (*seen, error) {
	if err := os.MkdirAll(s.names.dir, 0o750); err != nil {
		return nil, err
	}
	all, err := s.names.list()
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b entry) int { return b.modified.Compare(a.modified) }) // newest first
	current := s.names.current(now)
	for i, e := range all {
		if i == 0 || e.path == current {
			if err := s.repair(e.path); err != nil {
				return nil, err
			}
		}
	}
	ids := newSeen()
	left := int64(tailBytes)
	for _, e := range all {
		if left <= 0 {
			break
		}
		n, err := s.readTail(e.path, left, ids)
		if err != nil {
			return nil, err
		}
		left -= n
	}
	ids.sort()
	return ids, nil
}

// repair cuts a torn last line, if there is such a file. The line was never acknowledged: the fsync that comes before
// an acknowledgement covers whole lines.
func (s *store) repair(path string) error {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	f, err := s.open(path, s.mode)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // synced below
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	end, torn, err := lastLine(f, info.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if end < info.Size() {
		if !ours(torn) {
			return fmt.Errorf("%s: the last line has no line feed and was not written by this sink: move the file away", path)
		}
		s.log.Warn("cut a torn last line, which was never acknowledged", "path", path, "offset", end, "bytes", info.Size()-end)
		if err := f.Truncate(end); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// lastLine finds where the last whole line ends and returns the beginning of what follows.
func lastLine(f io.ReaderAt, size int64) (end int64, torn []byte, err error) {
	buf := make([]byte, 64<<10)
	for at := size; at > 0 && end == 0; {
		n := min(at, int64(len(buf)))
		at -= n
		if _, err := f.ReadAt(buf[:n], at); err != nil {
			return 0, nil, err
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			end = at + int64(i) + 1
			break
		}
	}
	torn = make([]byte, min(size-end, int64(len(linePrefix))))
	if _, err := f.ReadAt(torn, end); err != nil && len(torn) > 0 {
		return 0, nil, err
	}
	return end, torn, nil
}

// ours tells whether a torn line may have been written by this sink: it begins like one, with the zeros behind it that
// a file system can leave after a power failure.
func ours(torn []byte) bool {
	return bytes.HasPrefix([]byte(linePrefix), bytes.TrimRight(torn, "\x00"))
}

// readTail adds the ids of the last bytes of a file and returns how many bytes it has read.
func (s *store) readTail(path string, limit int64, ids *seen) (int64, error) {
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	from := max(0, info.Size()-limit)
	r := bufio.NewReaderSize(io.NewSectionReader(f, from, info.Size()-from), 256<<10)
	damaged, first := 0, from > 0
	for buf := []byte(nil); ; {
		var whole bool
		buf, whole, err = readLine(r, buf[:0])
		if err != nil {
			break
		}
		id, ok := idOf(buf)
		switch {
		case first: // cut by where we began to read
			first = false
		case ok && whole && json.Valid(buf):
			ids.add(id)
		case ok:
			damaged++
		}
	}
	if damaged > 0 {
		s.log.Warn("lines that are no JSON, which this sink does not write: is the disk damaged?", "path", path, "lines", damaged)
	}
	if err != io.EOF { //nolint:errorlint // readLine returns it bare
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return info.Size() - from, nil
}

// readLine reads one line into buf. A line above maxLine is cut, and not whole.
func readLine(r *bufio.Reader, buf []byte) (line []byte, whole bool, err error) {
	whole = true
	for {
		part, more, err := r.ReadLine()
		if err != nil {
			return buf, false, err
		}
		if len(buf)+len(part) > maxLine {
			whole = false
		} else {
			buf = append(buf, part...)
		}
		if !more {
			return buf, whole, nil
		}
	}
}

// idOf reads the id at the beginning of a line.
func idOf(line []byte) (sdk.RecordID, bool) {
	var id sdk.RecordID
	rest, ok := bytes.CutPrefix(line, []byte(linePrefix))
	const width = 2 * len(id.Stream)
	if !ok || len(rest) < width+1 || rest[width] != '-' {
		return id, false
	}
	if _, err := hex.Decode(id.Stream[:], rest[:width]); err != nil {
		return id, false
	}
	digits, _, ok := bytes.Cut(rest[width+1:], []byte{'"'})
	if !ok {
		return id, false
	}
	n, err := strconv.ParseUint(string(digits), 10, 64)
	id.Sequence = n
	return id, err == nil
}

// syncDir makes the name of a new file durable.
func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // only synced
	if err := d.Sync(); err != nil {
		return fmt.Errorf("%s: %w", d.Name(), err)
	}
	return nil
}
