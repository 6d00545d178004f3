package sinkfile

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// names knows which files belong to a path:
//
//	records.ndjson             being written
//	records.ndjson.1 … .7      closed, .7 the newest
//	{date}.ndjson              2026-11-03.ndjson, 2026-11-03.ndjson.1 …
type names struct {
	dir           string
	before, after string // around the date in the file's name; without {date} all is in before
	dated         bool
}

func newNames(path string) names {
	dir, base := filepath.Split(path)
	before, after, dated := strings.Cut(base, dateMark)
	return names{dir: filepath.Clean(dir), before: before, after: after, dated: dated}
}

// current is the file that is written at now.
func (n names) current(now time.Time) string {
	if !n.dated {
		return filepath.Join(n.dir, n.before)
	}
	return filepath.Join(n.dir, n.before+now.UTC().Format(time.DateOnly)+n.after)
}

// entry is one file of the path.
type entry struct {
	path     string
	date     string
	number   int // of a closed file; noNumber = it has none
	size     int64
	modified time.Time
}

// noNumber sorts a file without number behind the closed ones of its date.
const noNumber = math.MaxInt

// list returns the files of the path, oldest first by date and number.
func (n names) list() ([]entry, error) {
	found, err := os.ReadDir(n.dir)
	if err != nil {
		return nil, err
	}
	var out []entry
	for _, d := range found {
		e, ok := n.parse(d.Name())
		if !ok || !d.Type().IsRegular() {
			continue
		}
		info, err := d.Info()
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		e.size, e.modified = info.Size(), info.ModTime()
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b entry) int {
		return cmp.Or(strings.Compare(a.date, b.date), cmp.Compare(a.number, b.number))
	})
	return out, nil
}

func (n names) parse(name string) (entry, bool) {
	e := entry{path: filepath.Join(n.dir, name), number: noNumber}
	rest, ok := strings.CutPrefix(name, n.before)
	if !ok {
		return e, false
	}
	if n.dated {
		if len(rest) < len(time.DateOnly) {
			return e, false
		}
		e.date, rest = rest[:len(time.DateOnly)], rest[len(time.DateOnly):]
		if _, err := time.Parse(time.DateOnly, e.date); err != nil {
			return e, false
		}
		if rest, ok = strings.CutPrefix(rest, n.after); !ok {
			return e, false
		}
	}
	if rest == "" {
		return e, true
	}
	number, err := strconv.Atoi(strings.TrimPrefix(rest, "."))
	if err != nil || number < 1 || number == noNumber || rest != "."+strconv.Itoa(number) {
		return e, false
	}
	e.number = number
	return e, true
}

// closed is the name that a file gets when it is closed: one number above the highest of its date.
func (n names) closed(path string, all []entry) string {
	highest := 0
	for _, e := range all {
		if e.number != noNumber && e.path == path+"."+strconv.Itoa(e.number) {
			highest = max(highest, e.number)
		}
	}
	return fmt.Sprintf("%s.%d", path, highest+1)
}
