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

// write appends one record, synced to disk: the cursor moves past it only after that.
func (d *deadLetters) write(batch []byte, r sdk.Rejection) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	line, err := d.line(batch, r)
	if err != nil {
		return err
	}
	if err := d.open(int64(len(line))); err != nil {
		return err
	}
	n, err := d.file.Write(line)
	d.size += int64(n)
	if err == nil {
		err = d.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("dead-letter log: %w", err)
	}
	return nil
}

func (d *deadLetters) line(batch []byte, r sdk.Rejection) ([]byte, error) {
	rec, head, err := d.record(batch, r.Record)
	if r.Err == nil {
		r.Err = &sdk.Error{Code: sdk.CodeInternal, Detail: "no reason given"}
	}
	l := deadLetter{At: time.Now().UTC(), Reason: string(r.Err.Code), Detail: r.Err.Detail, Receiver: head.Receiver}
	if err != nil {
		// The batch itself cannot be read: keep it whole.
		l.Detail += "; batch kept whole: " + err.Error()
		l.PayloadB6 = batch
	} else {
		l.ID, l.Received, l.Kind = rec.ID.String(), rec.Received.UTC(), rec.Kind.String()
		l.Remote = rec.Connection.Remote.String()
		if utf8.Valid(rec.Payload) {
			s := string(rec.Payload)
			l.Payload = &s
		} else {
			l.PayloadB6 = rec.Payload
		}
	}
	b, err := json.Marshal(l)
	return append(b, '\n'), err
}

func (d *deadLetters) record(batch []byte, index uint32) (sdk.Record, sdk.Header, error) {
	var rec sdk.Record
	h, err := d.dec.Open(batch)
	if err != nil {
		return rec, h, err
	}
	for range uint64(index) + 1 {
		ok, err := d.dec.Next(&rec)
		if err != nil {
			return rec, h, err
		}
		if !ok {
			return rec, h, errors.New("the batch has no such record")
		}
	}
	return rec, h, nil
}

func (d *deadLetters) open(more int64) error {
	if d.file != nil && d.size+more <= deadLetterBytes {
		return nil
	}
	if d.file != nil {
		_ = d.file.Close()
		d.file = nil
		if err := os.Rename(d.path, d.path+".1"); err != nil {
			return fmt.Errorf("dead-letter log: %w", err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(d.path), 0o700); err != nil {
		return fmt.Errorf("dead-letter log: %w", err)
	}
	f, err := os.OpenFile(d.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("dead-letter log: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("dead-letter log: %w", err)
	}
	d.file, d.size = f, st.Size()
	return nil
}

// Close closes the file.
func (d *deadLetters) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file == nil {
		return nil
	}
	return d.file.Close()
}
