package report

import (
	"bytes"
	"cmp"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/diode"
)

// The format: docs/formats/gap-report.md. Sizes in bytes.
const (
	magic       = "SDGR"
	version     = 1
	headerBytes = 28
	entryBytes  = 33
	macBytes    = sha256.Size
	labelKey    = "sluice diode v1 gap-report" // of HKDF (RFC 5869)
)

const (
	// MaxBytes is the largest file (diode.md).
	MaxBytes = 1 << 20
	// MaxEntries is how many ranges fit into one.
	MaxEntries = (MaxBytes - headerBytes - macBytes) / entryBytes
)

// Errors that somebody decides on.
var (
	// ErrForged: the file was altered, or made under another pre-shared key.
	ErrForged = errors.New("altered, or made under another pairing")
	// ErrForeign: the file is authentic, but of another link or pairing.
	ErrForeign = errors.New("of another link or pairing")
	// ErrMalformed: the file has another length or content than Write gives it.
	ErrMalformed = errors.New("malformed")
)

// Key says under which pairing of which link a report is made.
type Key struct {
	LinkID, KeyID uint32
	PSK           [32]byte
}

// Entry is one missing range.
type Entry struct {
	Epoch [16]byte
	Class diode.Class
	First uint64 // at least 1
	Last  uint64 // at least First, or 0: the end is not known
}

// Report is what the far side misses.
type Report struct {
	MadeAt  time.Time // by the far clock, to the nanosecond
	Entries []Entry   // in ascending order, not overlapping
}

// From makes entries of gaps, ascending and merged where they touch. When there
// are more than a file can hold, the first of gaps are taken and the rest is
// counted.
func From(gaps []diode.Gap) (entries []Entry, left int) {
	take := min(len(gaps), MaxEntries)
	for _, g := range gaps[:take] {
		entries = append(entries, Entry{Epoch: g.Epoch, Class: g.Class, First: g.First, Last: g.Last})
	}
	slices.SortFunc(entries, compare)
	merged := entries[:0]
	for _, e := range entries {
		if n := len(merged); n > 0 && merged[n-1].touches(e) {
			merged[n-1].extend(e)
			continue
		}
		merged = append(merged, e)
	}
	return merged, len(gaps) - take
}

func compare(a, b Entry) int {
	return cmp.Or(bytes.Compare(a.Epoch[:], b.Epoch[:]), cmp.Compare(a.Class, b.Class), cmp.Compare(a.First, b.First))
}

func (e Entry) sameSeries(o Entry) bool { return e.Epoch == o.Epoch && e.Class == o.Class }

// touches says that o, which does not begin before e, overlaps it or follows it
// directly.
func (e Entry) touches(o Entry) bool {
	return e.sameSeries(o) && (e.Last == 0 || o.First <= e.Last || o.First == e.Last+1)
}

func (e *Entry) extend(o Entry) {
	if e.Last == 0 || o.Last == 0 {
		e.Last = 0
		return
	}
	e.Last = max(e.Last, o.Last)
}

// Write writes a report. Its entries must be as From makes them.
func Write(w io.Writer, r Report, k Key) error {
	if len(r.Entries) > MaxEntries {
		return fmt.Errorf("report: %d ranges: a file holds at most %d", len(r.Entries), MaxEntries)
	}
	if err := checkEntries(r.Entries); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	b := make([]byte, 0, headerBytes+len(r.Entries)*entryBytes+macBytes)
	b = append(append(b, magic...), version, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, k.LinkID)
	b = binary.BigEndian.AppendUint32(b, k.KeyID)
	b = binary.BigEndian.AppendUint64(b, uint64(r.MadeAt.UnixNano()))
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.Entries)))
	for _, e := range r.Entries {
		b = append(append(b, e.Epoch[:]...), byte(e.Class))
		b = binary.BigEndian.AppendUint64(b, e.First)
		b = binary.BigEndian.AppendUint64(b, e.Last)
	}
	mac, err := authenticate(b, k.PSK)
	if err != nil {
		return err
	}
	if _, err := w.Write(append(b, mac...)); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// Load reads the file at path.
func Load(path string, k Key) (Report, error) {
	st, err := os.Stat(path) // before it is opened: opening a pipe would wait
	if err != nil {
		return Report{}, fmt.Errorf("report: %w", err)
	}
	if !st.Mode().IsRegular() {
		return Report{}, fmt.Errorf("report: %s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return Report{}, fmt.Errorf("report: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	if err != nil {
		return Report{}, fmt.Errorf("report: %s: %w", path, err)
	}
	r, err := read(b, k)
	if err != nil {
		return Report{}, fmt.Errorf("report: %s: %w", path, err)
	}
	return r, nil
}

// Read reads a report. Nothing but its length is looked at before it is found
// to be authentic.
func Read(b []byte, k Key) (Report, error) {
	r, err := read(b, k)
	if err != nil {
		return Report{}, fmt.Errorf("report: %w", err)
	}
	return r, nil
}

func read(b []byte, k Key) (Report, error) {
	if len(b) < headerBytes+macBytes || len(b) > MaxBytes {
		return Report{}, fmt.Errorf("%w: %d bytes: a report has %d to %d", ErrMalformed, len(b), headerBytes+macBytes, MaxBytes)
	}
	body, got := b[:len(b)-macBytes], b[len(b)-macBytes:]
	want, err := authenticate(body, k.PSK)
	if err != nil {
		return Report{}, err
	}
	if !hmac.Equal(got, want) {
		return Report{}, fmt.Errorf("%w: make it again on the far side and carry it over as it is", ErrForged)
	}
	return parse(body, k)
}

// parse reads what is authentic.
func parse(b []byte, k Key) (Report, error) {
	u32, u64 := binary.BigEndian.Uint32, binary.BigEndian.Uint64
	if string(b[:4]) != magic || b[4] != version || b[5]|b[6]|b[7] != 0 {
		return Report{}, fmt.Errorf("%w: byte 0: no gap report of version %d", ErrMalformed, version)
	}
	if link, key := u32(b[8:]), u32(b[12:]); link != k.LinkID || key != k.KeyID {
		return Report{}, fmt.Errorf("%w: link %08x and key %08x, expected %08x and %08x", ErrForeign, link, key, k.LinkID, k.KeyID)
	}
	n := (len(b) - headerBytes) / entryBytes
	if uint64(u32(b[24:])) != uint64(n) || headerBytes+n*entryBytes != len(b) {
		return Report{}, fmt.Errorf("%w: byte 24: %d ranges do not fit its length of %d bytes", ErrMalformed, u32(b[24:]), len(b)+macBytes)
	}
	r := Report{MadeAt: time.Unix(0, int64(u64(b[16:])))}
	for e := b[headerBytes:]; len(e) > 0; e = e[entryBytes:] {
		x := Entry{Class: diode.Class(e[16]), First: u64(e[17:]), Last: u64(e[25:])}
		copy(x.Epoch[:], e)
		r.Entries = append(r.Entries, x)
	}
	if err := checkEntries(r.Entries); err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return r, nil
}

func checkEntries(entries []Entry) error {
	for i, e := range entries {
		switch {
		case e.First == 0:
			return fmt.Errorf("range %d: begins at 0, sequences begin at 1", i+1)
		case e.Last != 0 && e.Last < e.First:
			return fmt.Errorf("range %d: %d-%d is reversed", i+1, e.First, e.Last)
		case i > 0 && compare(entries[i-1], e) >= 0:
			return fmt.Errorf("range %d: not in ascending order", i+1)
		case i > 0 && entries[i-1].sameSeries(e) && (entries[i-1].Last == 0 || e.First <= entries[i-1].Last):
			return fmt.Errorf("range %d: overlaps the one before", i+1)
		}
	}
	return nil
}

func authenticate(body []byte, psk [32]byte) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, psk[:], nil, labelKey, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("key of gap reports: %w", err)
	}
	m := hmac.New(sha256.New, key)
	m.Write(body)
	return m.Sum(nil), nil
}
