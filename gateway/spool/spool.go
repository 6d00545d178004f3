package spool

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Log is a durable queue in one directory. All methods may be called from many
// goroutines.
type Log struct {
	opts   Options
	fs     fileSystem
	held   io.Closer // the lock on the directory
	queue  *queue
	keeper *keeper
	lookup lookup

	waiters   sync.Pool // of *waiter
	firstSeq  atomic.Uint64
	nextSeq   atomic.Uint64 // next, for readers in a hurry
	marked    atomic.Uint64 // last sequence that the stored mark knows
	markSaved atomic.Bool   // this process has stored a mark
	syncs     atomic.Uint64
	freed     chan struct{} // holds a token when space may have come free
	stop      chan struct{} // closed by Close
	writing   sync.WaitGroup
	keeping   sync.WaitGroup
	closing   sync.Once
	closeErr  error

	saveMu   sync.Mutex // held while the mark or a cursor is stored
	deleteMu sync.Mutex // held while a segment is deleted
	shut     bool       // guarded by deleteMu: the directory is about to be given free

	mu       sync.Mutex // guards what follows
	epoch    [16]byte
	prev     previous
	segs     []*segment // by base
	total    int64      // bytes of segs
	next     uint64     // the next sequence; those before are durable
	sum      uint64     // of all weights before next
	indexed  []*segment // segments with an index, the oldest index first
	cursors  map[string]*Cursor
	unsaved  int64 // bytes acknowledged since positions were last hurried
	state    State
	stateErr error
	dropped  map[string]Count
	lost     Count
	holes    map[uint64]hole // damage known, by first sequence
	holeTold time.Time       // when damage was last logged

	quarantined     int64
	quarantineCount int
}

// Entry is one entry as read back. Data aliases the buffer given to the call and
// is the caller's until the next call with that buffer.
type Entry struct {
	Seq       uint64
	Epoch     [16]byte // in which it was taken in
	Weight    uint32
	SumBefore uint64 // of the weights of all entries before this one
	Data      []byte
}

// Open opens the log in dir, which is made with mode 0700 when it is missing. Only
// one Log can own a directory at a time: ErrLocked. Damage, a torn end and a full
// disk are no reasons to fail: see the package comment.
func Open(dir string, o Options) (*Log, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	var fsys fileSystem
	if err := o.inRoom(func() (err error) { fsys, err = newFileSystem(dir); return err }); err != nil {
		return nil, err
	}
	l, err := open(fsys, o)
	if err != nil {
		return nil, errors.Join(err, fsys.close())
	}
	return l, nil
}

func open(fsys fileSystem, o Options) (*Log, error) {
	var held io.Closer
	if err := o.inRoom(func() (err error) { held, err = fsys.lock(); return err }); err != nil {
		return nil, err
	}
	l := newLog(fsys, o.withDefaults())
	l.held = held
	w, err := l.load()
	if err != nil {
		return nil, errors.Join(err, held.Close())
	}
	l.writing.Go(w.run)
	l.keeping.Go(func() { l.keeper.run(l.stop) })
	return l, nil
}

func newLog(fsys fileSystem, o Options) *Log {
	l := &Log{
		opts: o, fs: fsys, queue: newQueue(o.QueueBytes),
		freed: make(chan struct{}, 1), stop: make(chan struct{}),
		cursors: map[string]*Cursor{}, dropped: map[string]Count{}, holes: map[uint64]hole{},
		state: StateOK,
	}
	l.waiters.New = func() any { return newWaiter() }
	l.keeper = newKeeper(l)
	for range lookupReaders {
		l.lookup.readers = append(l.lookup.readers, &reader{log: l, ahead: lookupAhead})
	}
	return l
}

// Close writes what is queued, if the disk takes it (otherwise its done gets
// ErrClosed), stores positions and gives the directory free. Blocked calls return
// ErrClosed. Further calls do nothing and return the same.
func (l *Log) Close() error {
	l.closing.Do(func() {
		l.queue.close()
		close(l.stop)
		l.writing.Wait()
		l.keeping.Wait()
		l.deleteMu.Lock()
		l.shut = true // other logs of the budget must not delete here any more
		l.deleteMu.Unlock()
		l.opts.Budget.leave(l)
		err := errors.Join(l.saveCursors(), l.saveMark(true))
		l.closeReaders()
		l.closeErr = errors.Join(err, l.held.Close(), l.fs.close())
	})
	return l.closeErr
}

func (l *Log) closeReaders() {
	for _, c := range l.cursorList() {
		c.mu.Lock()
		c.reader.close()
		c.mu.Unlock()
	}
	l.lookup.mu.Lock()
	defer l.lookup.mu.Unlock()
	for _, r := range l.lookup.readers {
		r.close()
	}
}

func (l *Log) isClosed() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

func (l *Log) cursorList() (out []*Cursor) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.cursors {
		out = append(out, c)
	}
	return out
}

// Epoch identifies the life of this log within which a sequence means one entry;
// the package comment says when it changes. It never does while the log is open.
func (l *Log) Epoch() [16]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch
}

// EpochInfo gives the epoch before this one, with its last sequence and the
// running sum after it. When known is false, prevLast is the last that is known of
// and there may have been more; a first epoch has no previous one at all.
func (l *Log) EpochInfo() (prev [16]byte, prevLast, prevSum uint64, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.prev.epoch, l.prev.last, l.prev.sum, l.prev.known
}

// Bounds gives the first retained sequence, the next to be given, and the sum of
// the weights of all before next. The log is empty when first equals next.
func (l *Log) Bounds() (first, next, sum uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.firstSeq.Load(), l.next, l.sum
}

func (l *Log) position() (next, sum uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next, l.sum
}

func (l *Log) totalBytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// addSegment takes in a segment that was just begun.
func (l *Log) addSegment(base uint64, name string) *segment {
	seg := &segment{base: base, name: name, size: segmentHeadBytes, touched: time.Now()}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segs = append(l.segs, seg)
	l.total += seg.size
	if len(l.segs) == 1 {
		l.firstSeq.Store(base)
	}
	return seg
}

// forgetEmpty takes a segment out that was begun and never got a durable entry.
func (l *Log) forgetEmpty(seg *segment) {
	l.mu.Lock()
	if n := len(l.segs); n > 0 && l.segs[n-1] == seg {
		l.segs = l.segs[:n-1]
		l.total -= seg.size
	}
	l.mu.Unlock()
	if err := l.fs.remove(seg.name); err != nil {
		l.opts.Log.Debug("spool: remove empty segment", "segment", seg.base, "error", err)
	}
	l.opts.Budget.give(l, seg.size)
}

// publish makes n entries visible that are durable now: seg has size bytes, and
// the running sum is sum. points are where they start.
func (l *Log) publish(seg *segment, size int64, n, sum uint64, points []point) {
	l.mu.Lock()
	l.total += size - seg.size
	seg.size, seg.touched = size, time.Now()
	l.next += n
	l.sum = sum
	l.nextSeq.Store(l.next)
	for _, p := range points {
		l.addPoint(seg, p)
	}
	for _, c := range l.cursors {
		poke(c.wake)
	}
	l.mu.Unlock()
	l.keeper.changed()
}
