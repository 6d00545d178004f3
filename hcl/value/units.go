package value

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// unit is one way to end a quantity and what one of it is worth in the base unit of its type.
type unit struct {
	name  string
	worth float64
}

// Durations in nanoseconds. A day is 24 h and a week 7 days: no calendar is consulted.
func durationUnits() []unit {
	return []unit{
		{"ns", 1},
		{"us", 1e3},
		{"µs", 1e3},
		{"ms", 1e6},
		{"s", 1e9},
		{"m", 60e9},
		{"h", 3600e9},
		{"d", 24 * 3600e9},
		{"w", 7 * 24 * 3600e9},
	}
}

// Sizes in bytes: binary multiples (IEC 80000-13) and decimal ones (SI).
func byteUnits() []unit {
	return []unit{
		{"B", 1},
		{"kB", 1e3},
		{"KB", 1e3},
		{"MB", 1e6},
		{"GB", 1e9},
		{"TB", 1e12},
		{"KiB", 1 << 10},
		{"MiB", 1 << 20},
		{"GiB", 1 << 30},
		{"TiB", 1 << 40},
	}
}

// Bit rates in bits per second, decimal as network equipment counts them.
func bitRateUnits() []unit {
	return []unit{
		{"bit", 1},
		{"kbit", 1e3},
		{"Kbit", 1e3},
		{"Mbit", 1e6},
		{"Gbit", 1e9},
	}
}

// Rates in events per second.
func rateUnits() []unit {
	return []unit{
		{"/s", 1},
		{"/min", 1.0 / 60},
		{"/m", 1.0 / 60},
		{"/h", 1.0 / 3600},
	}
}

// Errors of the unit parsers. They are sentences for an operator and carry no position.
var (
	errNoNumber  = errors.New("it does not start with a number")
	errBadNumber = errors.New("write digits and at most one point")
	errNoUnit    = errors.New("it has no unit")
	errTooLarge  = errors.New("it is too large")
)

// ParseDuration reads one or more numbers with a unit, largest first by custom but in any order: "5m", "1h30m", "14d",
// "10ms", "1.5s". Units: ns, us, ms, s, m, h, d (24 h), w (7 d). Negative durations do not exist here.
func ParseDuration(text string) (time.Duration, error) {
	if text == "" {
		return 0, errNoNumber
	}
	total := 0.0
	for rest := text; rest != ""; {
		part := rest[:firstPart(rest)]
		rest = rest[len(part):]
		n, err := quantity(part, durationUnits())
		if err != nil {
			return 0, err
		}
		total += n
	}
	if total > math.MaxInt64/2 { // 146 years: far beyond use, far from overflow
		return 0, errTooLarge
	}
	return time.Duration(math.Round(total)), nil
}

// firstPart returns the length of the leading number-and-unit of a compound such as "1h30m".
func firstPart(text string) int {
	i := 0
	for i < len(text) && isNumeric(text[i]) {
		i++
	}
	for i < len(text) && !isNumeric(text[i]) {
		i++
	}
	return i
}

func isNumeric(c byte) bool { return c >= '0' && c <= '9' || c == '.' }

// ParseBytes reads a size such as "64MiB", "100GB" or "4096B" and returns bytes.
func ParseBytes(text string) (int64, error) {
	n, err := quantity(text, byteUnits())
	if err != nil {
		return 0, err
	}
	if n > 1<<62 { // 4 EiB: the largest power of two that stays clear of the int64 limit
		return 0, errTooLarge
	}
	return int64(math.Round(n)), nil
}

// ParseBitRate reads a bit rate such as "600Mbit" or "1Gbit/s" and returns bits per second.
func ParseBitRate(text string) (int64, error) {
	n, err := quantity(strings.TrimSuffix(text, "/s"), bitRateUnits())
	if err != nil {
		return 0, err
	}
	if n > 1<<53 { // beyond this a float no longer counts single bits; no wire comes near it
		return 0, errTooLarge
	}
	return int64(math.Round(n)), nil
}

// ParseRate reads a rate of events such as "2000/s", "90/min" or "10/h" and returns events per second.
func ParseRate(text string) (float64, error) {
	return quantity(text, rateUnits())
}

// ParsePercent reads a share such as "25%" or "0.5%" and returns it as a fraction: 0.25, 0.005.
func ParsePercent(text string) (float64, error) {
	return quantity(text, []unit{{"%", 1.0 / 100}})
}

// quantity splits text into a number and its unit and returns the number in the base unit. A bare "0" needs no unit.
func quantity(text string, units []unit) (float64, error) {
	i := 0
	for i < len(text) && isNumeric(text[i]) {
		i++
	}
	if i == 0 {
		return 0, errNoNumber
	}
	n, err := strconv.ParseFloat(text[:i], 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no number: %w", text[:i], errBadNumber)
	}
	name := strings.TrimPrefix(text[i:], " ")
	if name == "" {
		if n == 0 {
			return 0, nil
		}
		return 0, errNoUnit
	}
	for _, u := range units {
		if u.name == name {
			return n * u.worth, nil
		}
	}
	return 0, fmt.Errorf("%q is not a unit here: %w", name, unitError{units: units, given: name})
}

// unitError offers the unit that was probably meant.
type unitError struct {
	units []unit
	given string
}

func (e unitError) Error() string {
	names := make([]string, len(e.units))
	for i, u := range e.units {
		names[i] = u.name
		if strings.EqualFold(u.name, e.given) {
			return "write " + u.name
		}
	}
	return "one of " + strings.Join(names, ", ")
}
