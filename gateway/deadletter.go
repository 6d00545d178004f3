package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/sluice-gateway/sluice/sdk"
)

// deadLetterBytes bounds one dead-letter file; the one before it is kept beside it with the suffix ".1" (ours).
const deadLetterBytes = 64 << 20

// deadLetters keeps the records that a sink can never deliver, as JSON lines with the reason, so that an operator can
// look at them and nothing waits behind them.
type deadLetters struct {
	path string

	mu   sync.Mutex // guards what follows
	file *os.File
	size int64
	dec  sdk.Decoder
}

type deadLetter struct {
	At        time.Time `json:"at"`
	ID        string    `json:"id"`
	Receiver  string    `json:"receiver"`
	Remote    string    `json:"remote,omitempty"`
	Received  time.Time `json:"received_at"`
	Kind      string    `json:"kind"`
	Reason    string    `json:"reason"`
	Detail    string    `json:"detail"`
	Payload   *string   `json:"payload,omitempty"`
	PayloadB6 []byte    `json:"payload_base64,omitempty"`
}

// write appends rejected records of one batch, in order of their place in it, synced to disk: the cursor moves past them
// only after that. After an error the file is as it was before.
func (d *deadLetters) write(batch []byte, rs []sdk.Rejection) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	lines, err := d.lines(batch, rs)
	if err != nil {
		return fmt.Errorf("dead-letter log: %w", err)
	}
	if err := d.open(int64(len(lines))); err != nil {
		return fmt.Errorf("dead-letter log: %w", err)
	}
	_, err = d.file.Write(lines)
	if err == nil {
		err = d.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("dead-letter log: %w", errors.Join(err, d.takeBack()))
	}
	d.size += int64(len(lines))
	return nil
}

// takeBack removes what a failed write left, so that no half line stands before the next.
func (d *deadLetters) takeBack() error {
	err := errors.Join(d.file.Truncate(d.size), d.file.Close())
	d.file = nil // opened again, and its size asked for, at the next attempt
	return err
}

// lines encodes the records. When the batch cannot be read it is kept whole, once, instead of those that are left.
func (d *deadLetters) lines(batch []byte, rs []sdk.Rejection) ([]byte, error) {
	var out []byte
	head, err := d.dec.Open(batch)
	var rec sdk.Record
	read := uint64(0) // records read so far
	for _, r := range rs {
		for ; err == nil && read <= uint64(r.Record); read++ {
			err = d.next(&rec)
		}
		l := newDeadLetter(r, head.Receiver)
		if err == nil {
			l.record(&rec)
		} else {
			l.Detail += "; batch kept whole: " + err.Error()
			l.PayloadB6 = batch
		}
		line, jerr := json.Marshal(l)
		if jerr != nil {
			return nil, jerr
		}
		out = append(append(out, line...), '\n')
		if err != nil {
			break
		}
	}
	return out, nil
}

func (d *deadLetters) next(rec *sdk.Record) error {
	ok, err := d.dec.Next(rec)
	if err == nil && !ok {
		err = errors.New("the batch has no such record")
	}
	return err
}

func newDeadLetter(r sdk.Rejection, receiver string) deadLetter {
	reason := reasonOf(r)
	return deadLetter{At: time.Now().UTC(), Reason: string(reason.Code), Detail: reason.Detail, Receiver: receiver}
}

func (l *deadLetter) record(rec *sdk.Record) {
	l.ID, l.Received, l.Kind = rec.ID.String(), rec.Received.UTC(), rec.Kind.String()
	if remote := rec.Connection.Remote; remote.IsValid() {
		l.Remote = remote.String()
	}
	if utf8.Valid(rec.Payload) {
		s := string(rec.Payload)
		l.Payload = &s
		return
	}
	l.PayloadB6 = rec.Payload
}

// open makes sure that there is a file with room for more bytes, or a new one.
func (d *deadLetters) open(more int64) error {
	if d.file == nil {
		if err := d.openFile(); err != nil {
			return err
		}
	}
	if d.size == 0 || d.size+more <= deadLetterBytes {
		return nil
	}
	err := d.file.Close()
	d.file = nil
	if err = errors.Join(err, os.Rename(d.path, d.path+".1")); err != nil {
		return err
	}
	return d.openFile()
}

// openFile opens the file for appending and makes its name durable.
func (d *deadLetters) openFile() error {
	if err := os.MkdirAll(filepath.Dir(d.path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(d.path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	size, err := endLine(f)
	if err == nil {
		err = syncDir(filepath.Dir(d.path))
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	d.file, d.size = f, size
	return nil
}

// endLine returns the size of the file, having ended a line that a crash cut: its records come again.
func endLine(f *os.File) (int64, error) {
	st, err := f.Stat()
	if err != nil || st.Size() == 0 {
		return 0, err
	}
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, st.Size()-1); err != nil || last[0] == '\n' {
		return st.Size(), err
	}
	_, err = f.WriteString("\n")
	return st.Size() + 1, err
}

// Close closes the file.
func (d *deadLetters) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file == nil {
		return nil
	}
	err := d.file.Close()
	d.file = nil
	return err
}
