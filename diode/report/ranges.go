package report

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/diode"
)

// Bounds of what is typed (ours): beyond them a report file is the way.
const (
	maxText    = 64 << 10 // bytes
	maxRanges  = 4096
	maxBatches = 1 << 24 // of all ranges together; 1 TiB of batches of 64 KiB
	// lineBytes is the longest line that FormatRanges makes: it fits behind a
	// prompt on a terminal of 80 columns.
	lineBytes = 60
)

// ParseRanges reads ranges as an operator types them, "4711-4723,4801", on one
// or several lines, in any order, and returns them ascending. Errors name the
// item. Overlapping ranges are refused: they come from a slip.
func ParseRanges(text string) ([]diode.Range, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("ranges: %d bytes: at most %d can be typed: use the report file", len(text), maxText)
	}
	items := splitItems(text)
	if len(items) == 0 {
		return nil, errors.New(`ranges: none given: expected ranges as in "4711-4723,4801"`)
	}
	if len(items) > maxRanges {
		return nil, fmt.Errorf("ranges: %d items: at most %d can be typed: use the report file", len(items), maxRanges)
	}
	ranges := make([]diode.Range, 0, len(items))
	total := uint64(0)
	for i, item := range items {
		r, err := parseRange(item)
		if err != nil {
			return nil, fmt.Errorf("ranges: item %d %q: %w", i+1, item, err)
		}
		if r.Last-r.First >= maxBatches-total {
			return nil, fmt.Errorf("ranges: item %d %q: more than %d batches in all: use the report file", i+1, item, maxBatches)
		}
		total += r.Last - r.First + 1
		ranges = append(ranges, r)
	}
	return ascending(ranges)
}

// splitItems splits at commas and line ends. A line may end with a comma.
func splitItems(text string) []string {
	var items []string
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(strings.TrimSpace(line), ",")
		if line == "" {
			continue
		}
		for item := range strings.SplitSeq(line, ",") {
			items = append(items, strings.TrimSpace(item))
		}
	}
	return items
}

func parseRange(item string) (diode.Range, error) {
	first, last, two := strings.Cut(item, "-")
	if !two {
		last = first
	}
	a, err := parseSequence("first", strings.TrimSpace(first))
	if err != nil {
		return diode.Range{}, err
	}
	b, err := parseSequence("last", strings.TrimSpace(last))
	if err != nil {
		return diode.Range{}, err
	}
	if b < a {
		return diode.Range{}, fmt.Errorf("reversed: did you mean %d-%d?", b, a)
	}
	return diode.Range{First: a, Last: b}, nil
}

func parseSequence(what, s string) (uint64, error) {
	switch {
	case s == "":
		return 0, fmt.Errorf("%s sequence is missing", what)
	case strings.Trim(s, "0123456789") != "":
		return 0, fmt.Errorf("%s sequence %q is not a number", what, s)
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s sequence %q is too large", what, s)
	}
	if n == 0 {
		return 0, fmt.Errorf("%s sequence is 0, sequences begin at 1", what)
	}
	return n, nil
}

// ascending sorts, and refuses overlaps.
func ascending(ranges []diode.Range) ([]diode.Range, error) {
	slices.SortFunc(ranges, func(a, b diode.Range) int { return cmp.Compare(a.First, b.First) })
	for i := 1; i < len(ranges); i++ {
		if ranges[i].First <= ranges[i-1].Last {
			return nil, fmt.Errorf("ranges: %v and %v overlap: is one of them a slip?", ranges[i-1], ranges[i])
		}
	}
	return ranges, nil
}

// FormatRanges writes ranges to be typed, as ParseRanges reads them. Every line
// is whole by itself, so that a long list can be typed in parts.
func FormatRanges(ranges []diode.Range) string {
	var lines []string
	line := ""
	for _, r := range ranges {
		item := r.String()
		switch {
		case line == "":
			line = item
		case len(line)+1+len(item) > lineBytes:
			lines, line = append(lines, line), item
		default:
			line += "," + item
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
