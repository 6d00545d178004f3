package matrix_test

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// outcome is what one cell showed.
type outcome struct {
	seen, own int // frames; of them, those that the stimulus is about
	tripped   bool
	cause     string // of the trip
	restored  []string
	lacks     error // why it could not be tried
}

// text is what the table shows: every frame that was seen.
func (o outcome) text() string {
	switch {
	case o.lacks != nil:
		return "n/a"
	case o.tripped:
		return fmt.Sprintf("%d: trip", o.seen)
	default:
		return fmt.Sprint(o.seen)
	}
}

// place is where an outcome stands.
type place struct{ role, row, column string }

// table collects the outcomes of one run.
type table struct {
	mu    sync.Mutex // guards cells
	cells map[place]outcome
}

func newTable() *table { return &table{cells: map[place]outcome{}} }

// save writes the table to the file that the command line names, if any.
func (r *table) save() error {
	path := flag.Lookup(matrixFlag).Value.String()
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	r.print(f)
	return f.Close()
}

func (r *table) note(role, row, column string, o outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cells[place{role, row, column}] = o
}

// print writes the table in Markdown, and one line that sums it up: the rows
// that were tried, the frames that left under all defences without a trip, and
// the rows in which the guard tripped.
func (r *table) print(w io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintln(w, "Frames that the peer saw, of any kind; 0 = nothing left.")
	rows, leaked, tripped := 0, 0, 0
	for _, role := range roles() {
		n, l, t := r.printRole(w, role)
		rows, leaked, tripped = rows+n, leaked+l, tripped+t
	}
	fmt.Fprintf(w, "\nRESULT rows=%d leaked=%d tripped=%d\n", rows, leaked, tripped)
}

func (r *table) printRole(w io.Writer, role role) (rows, leaked, tripped int) {
	var lacks []string
	for _, s := range stimuli() {
		o, ok := r.cells[place{role.name, s.name, all}]
		if !ok {
			continue
		}
		if o.lacks != nil {
			lacks = append(lacks, fmt.Sprintf("n/a: %v", o.lacks))
		} else {
			rows++
		}
		if rows == 1 {
			fmt.Fprintf(w, "\n| %s | %s |\n|---|%s\n", role.name, strings.Join(role.columns, " | "), strings.Repeat("---:|", len(role.columns)))
		}
		line := "| " + s.name
		for _, column := range role.columns {
			line += " | " + r.cells[place{role.name, s.name, column}].text()
		}
		fmt.Fprintln(w, line+" |")
		if o.tripped {
			tripped++
		} else {
			leaked += o.seen
		}
	}
	for _, why := range lacks {
		fmt.Fprintln(w, why)
	}
	return rows, leaked, tripped
}
