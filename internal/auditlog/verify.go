package auditlog

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
)

// Kinds of a Finding.
const (
	Altered   = "altered"
	Removed   = "removed"
	Reordered = "reordered"
	Truncated = "truncated"
	Torn      = "torn" // the last line has no end: a crash, or somebody cut the file
)

// Finding is the first line that is wrong.
type Finding struct {
	Kind string `json:"kind"`
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"` // in that file, from 1; 0: behind the last
	Seq  uint64 `json:"seq"`            // that belongs there
	Text string `json:"text"`
}

// Report is what a check of a log found.
type Report struct {
	Files   int       `json:"files"`
	Entries uint64    `json:"entries"` // that are right, up to the finding
	From    time.Time `json:"from,omitzero"`
	To      time.Time `json:"to,omitzero"`
	Head    Head      `json:"head"` // of the last right entry
	// Asides counts times that a crash left an unfinished line, Missed entries that say that some could not be written.
	Asides  uint64   `json:"set_aside"`
	Missed  uint64   `json:"missed"`
	Finding *Finding `json:"finding,omitempty"`
}

// OK reports whether nothing is wrong.
func (r Report) OK() bool { return r.Finding == nil }

// Verify follows the chain through a directory and stops at the first line that is wrong. Heads that were kept
// elsewhere show what the chain alone cannot: that its end was cut off, or that all of it was made anew. An error means
// that the files could not be read.
func Verify(dir string, kept ...Head) (Report, error) {
	names, err := files(dir)
	if err != nil {
		return Report{}, err
	}
	c := newChecker(kept)
	c.r.Files = len(names)
	return c.run(lines(dir, names))
}

// VerifyStream does the same with a log in one stream, as Export writes it.
func VerifyStream(name string, r io.Reader, kept ...Head) (Report, error) {
	c := newChecker(kept)
	c.r.Files = 1
	return c.run(linesOf(name, r))
}

// checker follows a chain.
type checker struct {
	kept map[uint64][]string
	most uint64 // of the heads kept
	r    Report
	bad  *Finding
}

func newChecker(kept []Head) *checker {
	c := &checker{kept: map[uint64][]string{}, r: Report{Head: Head{Hash: genesis}}}
	for _, h := range kept {
		if h.Seq > 0 {
			c.kept[h.Seq], c.most = append(c.kept[h.Seq], h.Hash), max(c.most, h.Seq)
		}
	}
	return c
}

func (c *checker) run(all iter.Seq2[rawLine, error]) (Report, error) {
	for l, err := range all {
		if err != nil {
			return c.r, err
		}
		if c.bad == nil {
			c.check(l)
		} else if c.bad.Kind != Removed || c.isElsewhere(l) {
			break
		}
	}
	if c.bad == nil && c.r.Head.Seq < c.most {
		c.bad = &Finding{Kind: Truncated, Seq: c.r.Head.Seq + 1, Text: fmt.Sprintf(
			"the log ends with entry %d, and entry %d was reported before: the end was cut off", c.r.Head.Seq, c.most)}
	}
	c.r.Finding = c.bad
	return c.r, nil
}

// check takes one line, or notes what is wrong with it.
func (c *checker) check(l rawLine) {
	want := c.r.Head.Seq + 1
	e, err := l.entry()
	switch {
	case errors.Is(err, errTorn):
		c.found(Torn, l, err.Error())
	case err != nil:
		c.found(Altered, l, err.Error())
	case e.Seq > want: // until that line turns up further on
		c.found(Removed, l, fmt.Sprintf("it is entry %d: %s missing", e.Seq, entriesAre(want, e.Seq-1)))
	case e.Seq < want:
		c.found(Reordered, l, fmt.Sprintf("it is entry %d, which belongs further up", e.Seq))
	case e.Prev != c.r.Head.Hash:
		c.found(Altered, l, "it does not follow from the line before: one of the two was replaced")
	case !c.isKept(e):
		c.found(Altered, l, "another entry of this number was reported before: the log was replaced from here or further up")
	default:
		c.take(e)
	}
}

func entriesAre(first, last uint64) string {
	if first == last {
		return fmt.Sprintf("entry %d is", first)
	}
	return fmt.Sprintf("entries %d to %d are", first, last)
}

func (c *checker) take(e Entry) {
	if c.r.Entries == 0 {
		c.r.From = e.At
	}
	c.r.Entries++
	c.r.To, c.r.Head = e.At, Head{Seq: e.Seq, Hash: e.Hash}
	switch e.What {
	case SetAside:
		c.r.Asides++
	case Missed:
		c.r.Missed++
	}
}

func (c *checker) isKept(e Entry) bool {
	for _, hash := range c.kept[e.Seq] {
		if hash != e.Hash {
			return false
		}
	}
	return true
}

func (c *checker) found(kind string, l rawLine, text string) {
	c.bad = &Finding{Kind: kind, File: l.file, Line: l.n, Seq: c.r.Head.Seq + 1, Text: text}
}

// isElsewhere reports whether this is the line that seemed to be missing.
func (c *checker) isElsewhere(l rawLine) bool {
	e, err := l.entry()
	if err != nil || e.Seq != c.bad.Seq {
		return false
	}
	c.bad.Kind, c.bad.Text = Reordered, fmt.Sprintf("entry %d belongs here and stands in %s", e.Seq, l.where())
	return true
}

// errTorn is a last line without its end.
var errTorn = errors.New("it has no end: a crash came while it was written, or the file was cut")

// entry reads the line, if it is a whole and valid one.
func (l rawLine) entry() (Entry, error) {
	switch {
	case l.long:
		return Entry{}, fmt.Errorf("%w: more than %d bytes", errNoLine, maxLine)
	case !l.whole:
		return Entry{}, errTorn
	}
	return decode(l.raw)
}
