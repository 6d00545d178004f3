package auditlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// maxTail is how far from its end a file is searched for its last valid line, bytes (ours): one line was being written
// when a crash came, so more than that is no crash's doing.
const maxTail = 16 * maxLine

// ErrDamaged says that a log cannot be gone on with, or was read with holes.
var ErrDamaged = errors.New("auditlog: damaged")

// tail is the end of a file.
type tail struct {
	head Head  // of the last valid line; Seq 0: the file has none
	size int64 // up to the end of that line
	torn []byte
}

// readTail finds the last valid line of a file, and what stands behind it.
func readTail(path string) (tail, error) {
	f, err := os.Open(path)
	if err != nil {
		return tail{}, fmt.Errorf("auditlog: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	st, err := f.Stat()
	if err != nil {
		return tail{}, fmt.Errorf("auditlog: %w", err)
	}
	from := max(st.Size()-maxTail, 0)
	b, err := io.ReadAll(io.NewSectionReader(f, from, maxTail))
	if err != nil {
		return tail{}, fmt.Errorf("auditlog: %s: %w", path, err)
	}
	end, head := lastValid(b)
	if end == 0 && from > 0 {
		return tail{}, fmt.Errorf("%w: %s has no valid line in its last %d bytes, which no crash leaves: keep the directory as evidence, move it away and start again", ErrDamaged, path, maxTail)
	}
	return tail{head: head, size: from + int64(end), torn: b[end:]}, nil
}

// lastValid is where the last valid line of b ends, its newline included, and that line's head.
func lastValid(b []byte) (int, Head) {
	for end := bytes.LastIndexByte(b, '\n') + 1; end > 0; {
		begin := bytes.LastIndexByte(b[:end-1], '\n') + 1
		if e, err := decode(b[begin : end-1]); err == nil {
			return end, Head{Seq: e.Seq, Hash: e.Hash}
		}
		end = begin
	}
	return 0, Head{}
}

// setAside keeps what a crash left behind the last valid line in a file of its own, and cuts it off the log. It returns
// what the entry about it has to say.
func setAside(dir, name string, t tail, now time.Time) (string, error) {
	sum := sha256.Sum256(t.torn)
	aside := fmt.Sprintf("%s-%s%s", name, now.UTC().Format("20060102T150405.000000000"), tornSuffix)
	if err := writeNew(filepath.Join(dir, aside), t.torn); err != nil {
		return "", err
	}
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
	if err != nil {
		return "", err
	}
	if err := errors.Join(syncDir(dir), f.Truncate(t.size), f.Sync(), f.Close()); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d bytes at the end of %s were no whole line: kept in %s, SHA-256 %s", len(t.torn), name, aside, hex.EncodeToString(sum[:])), nil
}

func writeNew(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, adopt(path), f.Sync(), f.Close())
}
