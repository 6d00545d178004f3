package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"

	"github.com/sluice-gateway/sluice/diode"
)

const (
	defaultRanges = 65536
	maxRanges     = 65536
	defaultClosed = 4096
	// entryBytes is the largest size of a declaration with one range in a
	// compacted log, rounded up.
	entryBytes = 256
	// autoSync is how many bytes of events may wait before they are written
	// without being asked for; pendingLimit is when further ones are refused,
	// because they cannot be written (ours).
	autoSync     = 64 << 10
	pendingLimit = 1 << 20
)

// Errors that somebody decides on.
var (
	// ErrClosed: the ledger was closed.
	ErrClosed = errors.New("ledger: closed")
	// ErrBacklog wraps why events that came before cannot be written. The one
	// that was given now changed nothing.
	ErrBacklog = errors.New("ledger: events wait for the disk")
	// ErrRange: a gap or batch that cannot be.
	ErrRange = errors.New("ledger: impossible range")
)

// Mark is the entry of the far spool that an event comes from: class, epoch of
// the spool's log, and sequence in it. The zero Mark says that the event comes
// from elsewhere.
type Mark struct {
	Class diode.Class
	Spool [16]byte
	Seq   uint64
}

// Options say how large a ledger may become. Zero values take the default named.
type Options struct {
	// MaxBytes bounds the log; 0 = the least that the other two allow, 39 MiB
	// with their defaults. The log is compacted from 1 MiB on, or four times
	// what it was after the last time; beside it this needs up to half of
	// MaxBytes for a moment.
	MaxBytes int64
	// MaxRanges bounds the ranges that are open, at most 65,536; 0 = 65,536.
	// What exceeds it becomes final, the oldest first, with WhyFull.
	MaxRanges int
	// KeepClosed is how many declarations stay listed when nothing of them is
	// open; 0 = 4096. The sums keep them all.
	KeepClosed int
	Log        *slog.Logger // nil = none
	// Write calls a function that writes and syncs, again after it has made
	// room when the disk is full, and returns its last error; nil = once.
	Write func(func() error) error
}

// Ledger is the gap ledger of one link. Its methods may be called from several
// goroutines; only one process may have a directory open.
type Ledger struct {
	opts Options
	log  *slog.Logger

	io   sync.Mutex // taken before mu; guards file
	file log

	mu      sync.Mutex // guards what follows
	state   *state
	pending []byte // events of the state that are not on disk
	written marks  // of the state, as far as they stand in pending or on disk
	durable marks  // on disk
	failed  error  // of the last attempt to write; nil = it went well
	next    int    // bytes of pending from which they are written unasked
	told    bool   // that ranges were given up
	closed  bool
	damaged bool
}

// marks are the places of the far spool, of stream and evictions.
type marks struct{ stream, evicted map[diode.Class]Mark }

// Open reads the ledger below dir, which is made when missing. What a crash left
// unfinished is cut off; damage within the log is stepped over, kept in a file
// beside it, and told by Damaged.
func Open(dir string, o Options) (*Ledger, error) {
	if dir == "" {
		return nil, errors.New("ledger: no directory")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	l, err := open(directory(dir), o)
	if err != nil {
		return nil, fmt.Errorf("ledger: %s: %w", dir, err)
	}
	return l, nil
}

func (o Options) withDefaults() Options {
	if o.MaxRanges == 0 {
		o.MaxRanges = defaultRanges
	}
	if o.KeepClosed == 0 {
		o.KeepClosed = defaultClosed
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = o.leastBytes()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Write == nil {
		o.Write = func(f func() error) error { return f() }
	}
	return o
}

// leastBytes is twice what a compacted log may have, so that there is always
// room for events behind it.
func (o Options) leastBytes() int64 {
	return 2 * (entryBytes*int64(o.MaxRanges+o.KeepClosed+closedSlack) + 2*compactFrom)
}

func (o Options) check() error {
	if o.MaxRanges < 1 || o.MaxRanges > maxRanges || o.KeepClosed < 1 {
		return fmt.Errorf("%d open ranges and %d closed declarations: expected 1 to %d, and at least 1", o.MaxRanges, o.KeepClosed, maxRanges)
	}
	if need := o.leastBytes(); o.MaxBytes < need {
		return fmt.Errorf("%d bytes are too few for %d open ranges and %d closed declarations: at least %d", o.MaxBytes, o.MaxRanges, o.KeepClosed, need)
	}
	return nil
}

func open(d disk, o Options) (*Ledger, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	l := &Ledger{opts: o, log: o.Log, state: newState(o.KeepClosed), next: autoSync}
	l.file = log{disk: d, write: o.Write, limit: o.MaxBytes, compact: compactFrom}
	if err := l.load(); err != nil {
		return nil, errors.Join(err, l.file.close())
	}
	l.written = l.state.copyMarks()
	l.durable = l.state.copyMarks()
	return l, nil
}

// load reads the log, or makes an empty one.
func (l *Ledger) load() error {
	d := l.file.disk
	if err := d.remove(newName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // left by a compaction that was not finished
	}
	b, err := d.read(logName)
	if errors.Is(err, fs.ErrNotExist) {
		return l.compactFile()
	}
	if err != nil {
		return err
	}
	out, err := replay(b, l.state)
	if err != nil {
		return fmt.Errorf("%s: %w", logName, err)
	}
	if l.file.f, err = d.open(logName); err != nil {
		return err
	}
	l.file.size, l.file.torn, l.file.unsynced = out.end, out.torn > 0, true
	if out.damaged == 0 {
		_, err := d.read(damagedName)
		l.damaged = !errors.Is(err, fs.ErrNotExist)
		return nil
	}
	return l.repair(b, out)
}

// repair goes on with what a damaged log still says.
func (l *Ledger) repair(b []byte, out outcome) error {
	l.damaged = true
	l.log.Error("the gap ledger is damaged: what was lost of it may be listed as missing still, or not at all; the sums count what is left",
		"bytes", out.damaged, "kept in", damagedName)
	l.state.reconcile()
	if err := l.file.keepDamaged(b); err != nil {
		return fmt.Errorf("%s: %w", damagedName, err)
	}
	return l.compactFile()
}

// compactFile writes the state as a new log. The caller owns file and state.
func (l *Ledger) compactFile() error {
	b, err := l.frames()
	if err != nil {
		return err
	}
	_, err = l.file.replace(b)
	return err
}

// frames encodes the state as a whole log.
func (l *Ledger) frames() ([]byte, error) {
	b := appendLogHeader(nil)
	err := l.state.snapshot(func(events []byte) error {
		if len(events) > maxFrameBytes {
			return fmt.Errorf("%d bytes of events exceed a frame", len(events))
		}
		b = appendFrame(b, events, int64(len(b)))
		return nil
	})
	return b, err
}

// Sync puts all events on disk. When it returns nil everything that was declared
// or filled before survives a crash.
func (l *Ledger) Sync() error {
	l.io.Lock()
	defer l.io.Unlock()
	return l.sync()
}

// sync is Sync for who holds io.
func (l *Ledger) sync() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.noteMarks()
	events, reached := slices.Clone(l.pending), l.state.copyMarks()
	var whole []byte
	var err error
	if len(events) > 0 && l.file.due(len(events)) {
		whole, err = l.frames()
	}
	l.mu.Unlock()
	written := 0
	if err == nil {
		written, err = l.put(events, whole)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = slices.Delete(l.pending, 0, written)
	l.next = len(l.pending) + autoSync
	if l.failed = err; err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	l.durable = reached
	return nil
}

// put writes events, or the whole state, which holds them, and returns how many
// bytes of events the log has now. They may be in the log though it is not
// certain to survive a crash: then there is an error as well.
func (l *Ledger) put(events, whole []byte) (int, error) {
	if whole != nil {
		inPlace, err := l.file.replace(whole)
		if inPlace {
			return len(events), err
		}
		l.log.Warn("gap ledger: not compacted", "error", err)
	}
	if len(events) == 0 {
		return 0, l.file.settle()
	}
	if err := l.file.append(events); err != nil {
		return 0, err
	}
	return len(events), nil
}

// noteMarks adds an event for every mark that none carries.
func (l *Ledger) noteMarks() {
	for _, evictions := range []bool{false, true} {
		written := l.written.of(evictions)
		for class, m := range l.state.marks(evictions) {
			if written[class] == m {
				continue
			}
			l.pending = event{kind: kindMark, gap: diode.Gap{Class: class}, mark: m, evictions: evictions}.append(l.pending)
			written[class] = m
		}
	}
}

// Close puts all events on disk and closes the log.
func (l *Ledger) Close() error {
	l.io.Lock()
	defer l.io.Unlock()
	err := l.sync()
	if errors.Is(err, ErrClosed) {
		return nil
	}
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	if e := l.file.close(); e != nil {
		err = errors.Join(err, fmt.Errorf("ledger: %w", e))
	}
	return err
}
