package tcp

import (
	"context"

	"github.com/sluice-gateway/sluice/internal/severity"
	"github.com/sluice-gateway/sluice/sdk"
)

// writers are the Writers of the classes; critical is nil when no message is critical.
type writers struct {
	bulk, critical *sdk.Writer
}

func newWriters(out sdk.Intake, s sdk.Setup, critical severity.Threshold) (w writers, err error) {
	if w.bulk, err = sdk.NewWriter(out, s, sdk.WriterOptions{}); err != nil || critical.Never() {
		return w, err
	}
	w.critical, err = sdk.NewWriter(out, s, sdk.WriterOptions{Class: sdk.ClassCritical})
	return w, err
}

// all lists the writers that there are, the critical one first.
func (w writers) all() []*sdk.Writer {
	if w.critical == nil {
		return []*sdk.Writer{w.bulk}
	}
	return []*sdk.Writer{w.critical, w.bulk}
}

// flush has the core decide on everything that was written.
func (w writers) flush(ctx context.Context) error {
	for _, one := range w.all() {
		if err := one.Flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

// sorter tells the critical messages of one connection from the others.
type sorter struct {
	threshold severity.Threshold
	critical  bool // the message before was
}

// isCritical judges the next message. A line without a priority is the tail of the message before it and stays with
// that: the two would else overtake each other.
func (s *sorter) isCritical(message []byte) bool {
	if len(message) > 0 && message[0] == '<' {
		s.critical = s.threshold.Takes(message)
	}
	return s.critical
}

// cut returns how many of the records, of which there is at least one, are of one class, and of which.
func (s *sorter) cut(recs []sdk.Record) (n int, critical bool) {
	if s.threshold.Never() {
		return len(recs), false
	}
	critical = s.isCritical(recs[0].Payload)
	n = 1
	for n < len(recs) && s.isCritical(recs[n].Payload) == critical {
		n++
	}
	return n, critical // the record behind is judged again, with the same result
}
