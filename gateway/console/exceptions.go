package console

import (
	"fmt"
	"io"
	"time"
)

// Exception is a written weakening in force.
type Exception struct {
	Name       string `json:"name"`
	Allows     string `json:"allows"`
	On         string `json:"on"`
	Reason     string `json:"reason"`
	ApprovedBy string `json:"approved_by"`
	Until      string `json:"until"` // last day, UTC
}

// noticeDays is from when on the end of an exception is an alarm. From the configuration's rules.
const noticeDays = 30

// DaysLeft is how many days an exception still holds, the last one included; 0 when it has ended. It is -1 for an end
// that is no date.
func (e Exception) DaysLeft(now time.Time) int {
	last, err := time.Parse(time.DateOnly, e.Until)
	if err != nil {
		return -1
	}
	const day = 24 * time.Hour
	return max(int((last.Sub(now.UTC().Truncate(day))+day)/day), 0)
}

// end says when it ends, and how loudly.
func (e Exception) end(now time.Time) string {
	switch n := e.DaysLeft(now); {
	case n < 0:
		return "until " + e.Until
	case n == 0:
		return fmt.Sprintf("until %s: ENDED, what lived by it is closed", e.Until)
	case n <= noticeDays:
		return fmt.Sprintf("until %s: %s left: ENDS SOON", e.Until, plural(uint64(n), "day"))
	default:
		return fmt.Sprintf("until %s: %s left", e.Until, plural(uint64(n), "day"))
	}
}

// ExceptionsText writes the exceptions of something ("node gw-plant") for people.
func ExceptionsText(w io.Writer, of string, all []Exception, now time.Time) error {
	p := newPrinter(w)
	p.line("%s", of)
	if len(all) == 0 {
		p.line("  no exception: every defence is as it was built")
	}
	for _, e := range all {
		p.line("  %s\t%s on %s\t%s\tapproved by %s\t%s", e.Name, e.Allows, e.On, e.end(now), clean(e.ApprovedBy), clean(e.Reason))
	}
	return p.flush()
}
