package auditlog

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	filePrefix = "audit-"
	fileSuffix = ".jsonl"
	tornSuffix = ".torn"
	seqDigits  = 20 // of the largest sequence number: names sort as numbers do
)

// fileName is that of the file whose first line has the number seq.
func fileName(seq uint64) string {
	return fmt.Sprintf("%s%0*d%s", filePrefix, seqDigits, seq, fileSuffix)
}

// files lists the log's files in the order of the chain. Other names are passed over.
func files(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("auditlog: %w", err)
	}
	var out []string
	for _, e := range entries {
		if _, ok := firstSeq(e.Name()); ok {
			out = append(out, e.Name())
		}
	}
	slices.Sort(out)
	return out, nil
}

// firstSeq is the number of the first line of a file, by its name.
func firstSeq(name string) (uint64, bool) {
	number, ok := strings.CutPrefix(name, filePrefix)
	if !ok {
		return 0, false
	}
	number, ok = strings.CutSuffix(number, fileSuffix)
	if !ok || len(number) != seqDigits {
		return 0, false
	}
	seq, err := strconv.ParseUint(number, 10, 64)
	return seq, err == nil && seq > 0
}

// rawLine is one line as it stands in a file.
type rawLine struct {
	file  string
	n     int    // from 1
	raw   []byte // without the newline; valid until the next line
	whole bool   // it has its newline
	long  bool   // more than maxLine bytes: raw is its beginning
}

func (l rawLine) where() string { return fmt.Sprintf("%s line %d", l.file, l.n) }

// linesOf yields the lines of a stream.
func linesOf(name string, r io.Reader) iter.Seq2[rawLine, error] {
	return func(yield func(rawLine, error) bool) {
		b := bufio.NewReaderSize(r, maxLine)
		for n := 1; ; n++ {
			l := rawLine{file: name, n: n}
			raw, err := b.ReadSlice('\n')
			l.raw, l.whole = bytes.CutSuffix(raw, []byte{'\n'})
			for errors.Is(err, bufio.ErrBufferFull) {
				l.long, l.raw = true, nil
				_, err = b.ReadSlice('\n')
				l.whole = err == nil
			}
			end := errors.Is(err, io.EOF)
			switch {
			case err != nil && !end:
				yield(l, fmt.Errorf("auditlog: %s: %w", name, err))
				return
			case end && len(raw) == 0 && !l.long:
				return
			case !yield(l, nil) || end:
				return
			}
		}
	}
}

// lines yields the lines of all files of a directory.
func lines(dir string, names []string) iter.Seq2[rawLine, error] {
	return func(yield func(rawLine, error) bool) {
		for _, name := range names {
			if !linesOfFile(dir, name, yield) {
				return
			}
		}
	}
}

func linesOfFile(dir, name string, yield func(rawLine, error) bool) bool {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		yield(rawLine{file: name}, fmt.Errorf("auditlog: %w", err))
		return false
	}
	defer f.Close() //nolint:errcheck // read only
	for l, err := range linesOf(name, f) {
		if !yield(l, err) || err != nil {
			return false
		}
	}
	return true
}

// syncDir makes names durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// makeDir makes the log's directory, for its owner only.
func makeDir(dir string) error {
	_, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(dir, 0o700); err == nil {
			err = adopt(dir)
		}
	}
	if err != nil {
		return fmt.Errorf("auditlog: %w", err)
	}
	return nil
}
