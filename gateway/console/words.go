package console

import (
	"fmt"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/hcl/value"
)

// stamp prints a time; people compare them with times in logs, which are in UTC too.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// plural prints a number of things.
func plural(n uint64, thing string) string {
	switch {
	case n == 1:
		return "1 " + thing
	case strings.HasSuffix(thing, "ch"):
		return fmt.Sprintf("%d %ses", n, thing)
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// byteText prints a number of bytes in three digits or so.
func byteText(n uint64) string {
	const step = 1000
	if n < step {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/step, 0
	for ; f >= step && i < 4; i++ {
		f /= step
	}
	return fmt.Sprintf("%.1f %cB", f, "kMGTP"[i])
}

// rateText prints bits per second as an operator would write them.
func rateText(bits uint64) string { return value.Text(float64(bits), value.BitRate) }
