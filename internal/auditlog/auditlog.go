package auditlog

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// maxFile is when a new file is begun, bytes: large enough for years, small enough to copy (ours).
const maxFile = 64 << 20

// ErrBusy says that another process writes the log.
var ErrBusy = errors.New("auditlog: another process writes it")

// ErrClosed says that the log was closed.
var ErrClosed = errors.New("auditlog: closed")

// Log is an open log. All methods may be used concurrently.
type Log struct {
	dir, node string
	maxFile   int64

	mu     sync.Mutex // guards what follows
	lock   *os.File   // the directory
	file   *os.File   // nil: begin a new one with the next line
	size   int64      // of whole lines in file
	dirty  bool       // more than that may stand in file
	head   Head
	missed missed
}

// missed counts entries that could not be written since the last that was.
type missed struct {
	n     uint64
	since time.Time
	err   error
}

// Open takes up the log in dir, which is made when it is not there. What a crash left at its end is set aside, and an
// entry says so; nothing else is checked: Verify does that. One process may have it open: ErrBusy.
func Open(dir, node string) (*Log, error) { return open(dir, node, maxFile) }

func open(dir, node string, maxFile int64) (*Log, error) {
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	l := &Log{dir: dir, node: node, maxFile: maxFile, lock: lock, head: Head{Hash: genesis}}
	if err := l.takeUp(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// takeUp finds the end of the chain and makes it one that can be gone on with.
func (l *Log) takeUp() error {
	names, err := files(l.dir)
	if err != nil {
		return err
	}
	var torn []string
	for i := len(names) - 1; i >= 0 && l.head.Seq == 0; i-- {
		told, err := l.takeUpFile(names[i])
		if err != nil {
			return err
		}
		if told != "" {
			torn = append(torn, told)
		}
	}
	for _, told := range torn {
		if _, err := l.Append(Entry{What: SetAside, Who: Itself("sluice"), Object: "audit log", Detail: told}); err != nil {
			return err
		}
	}
	return nil
}

// takeUpFile takes up the head from a file, if it has one, and goes on in the newest.
func (l *Log) takeUpFile(name string) (told string, err error) {
	path := filepath.Join(l.dir, name)
	t, err := readTail(path)
	if err != nil {
		return "", err
	}
	if len(t.torn) > 0 {
		if told, err = setAside(l.dir, name, t, time.Now()); err != nil {
			return "", fmt.Errorf("auditlog: %s: %w", name, err)
		}
	}
	if t.head.Seq == 0 { // begun and never written: the next line begins it anew, under the name that it then has
		return told, os.Remove(path)
	}
	l.head = t.head
	if l.file, err = os.OpenFile(path, os.O_WRONLY, 0); err != nil {
		return "", fmt.Errorf("auditlog: %w", err)
	}
	l.size = t.size
	return told, nil
}

// Head returns the newest entry's number and hash. The Seq of an empty log is 0.
func (l *Log) Head() Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// Append writes an entry and returns when it is on disk. An error means that it is not in the log: whoever was asked
// for something by a person does not do it then, and what happened by itself goes on. Either way the next entry that
// can be written is preceded by one that says how many are missing, and why.
func (l *Log) Append(e Entry) (Head, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lock == nil {
		return Head{}, ErrClosed
	}
	if e.At.IsZero() {
		e.At = time.Now()
	}
	err := l.tellMissed()
	if err == nil {
		err = l.write(e)
	}
	if err != nil {
		l.miss(e.At, err)
		return Head{}, err
	}
	return l.head, nil
}

func (l *Log) miss(at time.Time, err error) {
	if l.missed.n == 0 {
		l.missed.since = at
	}
	if l.missed.n < math.MaxUint64 {
		l.missed.n++
	}
	l.missed.err = err
}

// tellMissed writes down what could not be written.
func (l *Log) tellMissed() error {
	m := l.missed
	if m.n == 0 {
		return nil
	}
	err := l.write(Entry{
		At: time.Now(), What: Missed, Who: Itself("sluice"), Object: "audit log",
		Detail: fmt.Sprintf("%d entries since %s could not be written: %v", m.n, m.since.UTC().Format(time.RFC3339), m.err),
	})
	if err == nil {
		l.missed = missed{}
	}
	return err
}

// write appends one line and syncs it. When it returns an error, the head is what it was.
func (l *Log) write(e Entry) error {
	e.Seq, e.Node, e.At, e.Prev = l.head.Seq+1, l.node, e.At.UTC().Round(0), l.head.Hash
	line, hash, err := e.encode()
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if err := l.makeRoom(int64(len(line)), e.Seq); err != nil {
		return err
	}
	l.dirty = true
	_, err = l.file.WriteAt(line, l.size)
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("auditlog: %w", errors.Join(err, l.clean()))
	}
	l.dirty = false
	l.size += int64(len(line))
	l.head = Head{Seq: e.Seq, Hash: hash}
	return nil
}

// makeRoom makes sure that there is a file that ends with the head's line and takes n bytes more.
func (l *Log) makeRoom(n int64, seq uint64) error {
	if err := l.clean(); err != nil {
		return fmt.Errorf("auditlog: %w", err)
	}
	if l.file != nil && l.size+n <= l.maxFile {
		return nil
	}
	path := filepath.Join(l.dir, fileName(seq))
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("auditlog: %w", err)
	}
	// A file of that name may be left of a line that could not be written: it was never acknowledged.
	if err := errors.Join(f.Truncate(0), adopt(path), syncDir(l.dir)); err != nil {
		return fmt.Errorf("auditlog: %w", errors.Join(err, f.Close()))
	}
	if l.file != nil {
		_ = l.file.Close() // synced after every line
	}
	l.file, l.size = f, 0
	return nil
}

// clean cuts off what a failed write may have left.
func (l *Log) clean() error {
	if !l.dirty || l.file == nil {
		return nil
	}
	if err := errors.Join(l.file.Truncate(l.size), l.file.Sync()); err != nil {
		return err
	}
	l.dirty = false
	return nil
}

// Close gives the log up. It is idempotent.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, f := range []*os.File{l.file, l.lock} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	l.file, l.lock = nil, nil
	return errors.Join(errs...)
}
