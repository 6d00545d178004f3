package tcp

import (
	"github.com/sluice-gateway/sluice/internal/severity"
	"github.com/sluice-gateway/sluice/sdk"
)

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
