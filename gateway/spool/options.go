package spool

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Policy says what happens to entries that find no room.
type Policy uint8

// The policies. An I/O error that persists is treated like a full disk, except
// that DropOldest then waits: deleting would not help.
const (
	// Refuse keeps waiting entries and lets callers of Append wait.
	Refuse Policy = iota
	// DropNew calls done with ErrDropped at once.
	DropNew
	// DropOldest deletes the oldest segment, unsent entries included.
	DropOldest
)

// policyNames is indexed by Policy; the words are those of the configuration.
func policyNames() [3]string { return [3]string{"refuse", "drop-new", "drop-oldest"} }

// String gives the configuration's word.
func (p Policy) String() string {
	names := policyNames()
	if int(p) >= len(names) {
		return fmt.Sprintf("policy(%d)", uint8(p))
	}
	return names[p]
}

// ParsePolicy reads "refuse", "drop-new" or "drop-oldest".
func ParsePolicy(s string) (Policy, error) {
	for i, name := range policyNames() {
		if s == name {
			return Policy(i), nil // #nosec G115 -- index of a table of three
		}
	}
	return 0, fmt.Errorf("spool: policy %q: want refuse, drop-new or drop-oldest", s)
}

// Options of a log. The zero value is usable.
type Options struct {
	// SegmentBytes is the size at which a new segment file is begun; 0 means
	// 64 MiB. With MaxBytes it is at most a quarter of that.
	SegmentBytes int64
	// MaxBytes bounds the segment files together; 0 means no bound of our own, and
	// less than 64 KiB is an error. An entry can have a quarter of it.
	MaxBytes int64
	// WhenFull decides when MaxBytes is reached or the disk is full.
	WhenFull Policy
	// KeepSent is how long a segment is kept after all cursors have passed it.
	// It is given up before anything unsent is refused or dropped.
	KeepSent time.Duration
	// Linger is how long the writer waits for company before a commit; 0 means
	// not at all: what arrives during one fdatasync shares the next.
	Linger time.Duration
	// QueueBytes bounds what was appended and is not yet durable; 0 means 64 MiB.
	QueueBytes int64
	// Budget bounds this log together with others; nil means that only MaxBytes
	// counts.
	Budget *Budget
	// Evict, if it is set, is called under DropOldest before a segment is deleted
	// that holds entries which some cursor has not acknowledged: for each of them,
	// in order, so that the owner can name the loss. Its argument has the first 256
	// bytes of the entry, which are the log's and valid during the call; a run of
	// entries of which nothing can be read comes as one. An error keeps the segment,
	// and the log is full until a later attempt succeeds. After an error, and after
	// a crash before the deletion, the same entries come again. A consumer may have
	// one of them in its hands meanwhile: "not acknowledged" is what is known.
	//
	// It is called by the log's writer, which waits for it; it must not call Append.
	Evict func(EntryHead) error
	// Room, if it is set, runs what stores positions, so that they find room on a
	// full disk: it may call its function again after an error. It is not used for
	// segments.
	Room interface{ Do(f func() error) error }
	// Log receives state changes and damage; nil discards them.
	Log *slog.Logger
}

const (
	// defaultSegmentBytes: one fsynced create and one delete per 64 MiB cost
	// nothing, and the start scans one segment in well under a second.
	defaultSegmentBytes = 64 << 20
	// defaultQueueBytes: about 0.1 s at the fastest rate measured.
	defaultQueueBytes = 64 << 20
	// maxEntryBytes bounds what one record may claim; batches are at most 1 MiB.
	maxEntryBytes = 16 << 20
	// maxGroupBytes bounds one commit, so that the first entry of a long queue
	// is not acknowledged with the last.
	maxGroupBytes = 8 << 20
	// segmentsPerLimit: with fewer segments than this within MaxBytes, deleting
	// one would free more than a caller expects to lose.
	segmentsPerLimit = 4
)

// minMaxBytes leaves entries of some size: the largest is about a quarter of
// MaxBytes.
const minMaxBytes = 64 << 10

// check refuses what cannot work. Zero means the default everywhere.
func (o Options) check() error {
	switch {
	case o.SegmentBytes < 0, o.MaxBytes < 0, o.QueueBytes < 0, o.KeepSent < 0, o.Linger < 0:
		return errors.New("spool: options: negative size or time")
	case o.MaxBytes > 0 && o.MaxBytes < minMaxBytes:
		return fmt.Errorf("spool: options: MaxBytes is %d, at least %d are needed", o.MaxBytes, minMaxBytes)
	case o.Budget != nil && o.Budget.max < minMaxBytes:
		return fmt.Errorf("spool: options: Budget is %d, at least %d are needed", o.Budget.max, minMaxBytes)
	case o.WhenFull > DropOldest:
		return fmt.Errorf("spool: options: %v", o.WhenFull)
	}
	return nil
}

func (o Options) withDefaults() Options {
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = defaultSegmentBytes
	}
	if o.MaxBytes > 0 {
		o.SegmentBytes = min(o.SegmentBytes, o.MaxBytes/segmentsPerLimit)
	}
	if o.Budget != nil {
		o.SegmentBytes = min(o.SegmentBytes, o.Budget.segmentBytes())
	}
	if o.QueueBytes <= 0 {
		o.QueueBytes = defaultQueueBytes
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// entryLimit is the largest entry that can be taken, in bytes.
func (o Options) entryLimit() int64 {
	limit := int64(maxEntryBytes)
	if o.MaxBytes > 0 {
		limit = min(limit, o.MaxBytes/segmentsPerLimit-segmentHeadBytes-recordHeadBytes)
	}
	if o.Budget != nil {
		limit = min(limit, o.Budget.max/segmentsPerLimit-segmentHeadBytes-recordHeadBytes)
	}
	return limit
}

// inRoom runs f, with Room if there is any.
func (o Options) inRoom(f func() error) error {
	if o.Room == nil {
		return f()
	}
	return o.Room.Do(f)
}
