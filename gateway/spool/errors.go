package spool

import (
	"errors"
	"fmt"
)

// Errors on which callers decide. All are returned wrapped: use errors.Is.
var (
	// ErrLocked says that another process (or another Log) owns the directory.
	// The message names its process id.
	ErrLocked = errors.New("spool is in use")
	// ErrClosed is returned after Close, and by a cursor after RemoveCursor.
	ErrClosed = errors.New("spool is closed")
	// ErrDropped is given to done when an entry was dropped by policy; the drop
	// is counted in Stats.Dropped.
	ErrDropped = errors.New("entry dropped")
	// ErrNotYet is returned by Read for a sequence that is not durable yet.
	ErrNotYet = errors.New("sequence is not durable yet")
	// ErrTooLarge is returned for an entry above 16 MiB, or one that could never
	// fit beside its neighbours within Options.MaxBytes.
	ErrTooLarge = errors.New("entry is too large")
	// ErrCursorName is returned for a cursor name that is empty, longer than 64
	// bytes, starts with a dot or holds anything but a-z, 0-9, '.', '_' and '-'.
	ErrCursorName = errors.New("bad cursor name")
)

var (
	errFull      = errors.New("size limit reached")
	errWithdrawn = errors.New("withdrawn")
	errMoved     = errors.New("segment is no longer retained")
	errChecksum  = errors.New("bad checksum")
	errNoRecord  = errors.New("no valid record header")
)

// ErrGone is returned by Read for a sequence that is no longer retained. First
// is the first sequence that still is.
type ErrGone struct{ First uint64 }

// Error implements error.
func (e ErrGone) Error() string {
	return fmt.Sprintf("spool: no longer retained, the first is %d", e.First)
}

// CorruptError is returned by Read for a retained sequence whose bytes are
// damaged or missing. Err says what was found instead.
type CorruptError struct {
	Seq uint64
	Err error
}

// Error implements error.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("spool: entry %d: %v", e.Seq, e.Err)
}

// Unwrap gives the cause.
func (e *CorruptError) Unwrap() error { return e.Err }
