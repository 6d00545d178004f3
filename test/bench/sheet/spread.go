package sheet

import (
	"fmt"
	"slices"
)

// Spread is the median of some values, with the lowest and the highest.
type Spread struct{ Median, Low, High float64 }

// SpreadOf takes one figure of each run. Without a run all are 0.
func SpreadOf[T any](runs []T, of func(T) float64) Spread {
	values := make([]float64, 0, len(runs))
	for _, x := range runs {
		values = append(values, of(x))
	}
	if len(values) == 0 {
		return Spread{}
	}
	slices.Sort(values)
	mid := len(values) / 2
	median := values[mid]
	if len(values)%2 == 0 {
		median = (values[mid-1] + values[mid]) / 2
	}
	return Spread{Median: median, Low: values[0], High: values[len(values)-1]}
}

// Text writes median (low–high) with a format for one number.
func (s Spread) Text(format string) string {
	return fmt.Sprintf(format+" ("+format+"–"+format+")", s.Median, s.Low, s.High)
}
