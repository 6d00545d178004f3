package auditlog

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Filter says which entries are wanted. The zero value means the newest DefaultLimit.
type Filter struct {
	First, Last  uint64    // numbers; Last 0 = to the end
	Since, Until time.Time // zero = open
	What         []string  // empty = all verbs
	Object       string    // a part of it; empty = all
	Limit        int       // at most so many, the newest; 0 = DefaultLimit
}

// DefaultLimit is how many entries Read returns when nobody says otherwise; MaxLimit is what it ever returns (ours).
const (
	DefaultLimit = 100
	MaxLimit     = 100_000
)

func (f Filter) wants(e Entry) bool {
	return e.Seq >= f.First && (f.Last == 0 || e.Seq <= f.Last) &&
		(f.Since.IsZero() || !e.At.Before(f.Since)) && (f.Until.IsZero() || e.At.Before(f.Until)) &&
		(len(f.What) == 0 || slices.Contains(f.What, e.What)) && strings.Contains(e.Object, f.Object)
}

func (f Filter) limit() int {
	if f.Limit <= 0 {
		return DefaultLimit
	}
	return min(f.Limit, MaxLimit)
}

// Read returns entries, the oldest first. Lines that are none are passed over: then what could be read comes with an
// ErrDamaged that names the first of them.
func Read(dir string, f Filter) ([]Entry, error) {
	names, err := files(dir)
	if err != nil {
		return nil, err
	}
	out := []Entry{}
	var damage error
	for l, err := range lines(dir, names) {
		if err != nil {
			return out, err
		}
		e, err := l.entry()
		switch {
		case err != nil && damage == nil:
			damage = fmt.Errorf("%w: %s: %w: see sluice audit verify", ErrDamaged, l.where(), err)
		case err == nil && f.wants(e):
			if len(out) == 2*f.limit() { // seldom: the older half goes
				out = slices.Delete(out, 0, f.limit())
			}
			out = append(out, e)
		}
	}
	return out[max(len(out)-f.limit(), 0):], damage
}

// Export writes all lines as they stand, so that VerifyStream can check them elsewhere.
func Export(dir string, w io.Writer) error {
	names, err := files(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := exportFile(dir, name, w); err != nil {
			return fmt.Errorf("auditlog: %w", err)
		}
	}
	return nil
}

func exportFile(dir, name string, w io.Writer) error {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	_, err = io.Copy(w, f)
	return err
}
