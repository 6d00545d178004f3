package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
)

const (
	markName   = "mark"
	markMagic  = "SLMARK01"
	markBytes  = 84
	tempSuffix = ".tmp"

	markClean     = 1 << 0 // written by Close: last is exactly the end
	markPrevKnown = 1 << 1
)

// mark is the durable high-water mark; see the package comment.
type mark struct {
	clean bool
	epoch [16]byte
	prev  previous
	last  uint64 // sequence known durable
	sum   uint64 // of all weights through last
}

// previous is what the epoch before ended with.
type previous struct {
	epoch [16]byte
	last  uint64
	sum   uint64
	known bool
}

func (m mark) encode() []byte {
	b := make([]byte, markBytes)
	copy(b, markMagic)
	var flags uint32
	if m.clean {
		flags |= markClean
	}
	if m.prev.known {
		flags |= markPrevKnown
	}
	binary.LittleEndian.PutUint32(b[8:], flags)
	copy(b[16:], m.epoch[:])
	copy(b[32:], m.prev.epoch[:])
	binary.LittleEndian.PutUint64(b[48:], m.prev.last)
	binary.LittleEndian.PutUint64(b[56:], m.prev.sum)
	binary.LittleEndian.PutUint64(b[64:], m.last)
	binary.LittleEndian.PutUint64(b[72:], m.sum)
	binary.LittleEndian.PutUint32(b[80:], crc32c(0, b[:80]))
	return b
}

var errMark = errors.New("not a mark")

func decodeMark(b []byte) (mark, error) {
	if len(b) != markBytes || string(b[:8]) != markMagic {
		return mark{}, errMark
	}
	if binary.LittleEndian.Uint32(b[80:]) != crc32c(0, b[:80]) {
		return mark{}, errChecksum
	}
	flags := binary.LittleEndian.Uint32(b[8:])
	m := mark{
		clean: flags&markClean != 0,
		prev: previous{
			last:  binary.LittleEndian.Uint64(b[48:]),
			sum:   binary.LittleEndian.Uint64(b[56:]),
			known: flags&markPrevKnown != 0,
		},
		last: binary.LittleEndian.Uint64(b[64:]),
		sum:  binary.LittleEndian.Uint64(b[72:]),
	}
	copy(m.epoch[:], b[16:])
	copy(m.prev.epoch[:], b[32:])
	return m, nil
}

// readMark gives the stored mark; found is false when there is none, and an
// error says that there is one but it cannot be used.
func readMark(fsys fileSystem) (m mark, found bool, err error) {
	b, err := readSmallFile(fsys, markName, markBytes+1)
	if errors.Is(err, fs.ErrNotExist) {
		return mark{}, false, nil
	}
	if err == nil {
		m, err = decodeMark(b)
	}
	if err != nil {
		return mark{}, false, fmt.Errorf("spool: mark: %w", err)
	}
	return m, true, nil
}

// saveMark stores the position that is durable now. The first append after Open
// waits for it, so that a mark that says "clean" never stands beside newer
// entries, and no entry is given a sequence of an epoch that a restart would not
// know.
func (l *Log) saveMark(clean bool) error {
	l.saveMu.Lock()
	defer l.saveMu.Unlock()
	l.mu.Lock()
	m := mark{clean: clean, epoch: l.epoch, prev: l.prev, last: l.next - 1, sum: l.sum}
	l.mu.Unlock()
	if err := l.replace(markName, m.encode()); err != nil {
		return fmt.Errorf("spool: mark: %w", err)
	}
	l.marked.Store(m.last)
	l.markSaved.Store(true)
	return nil
}
