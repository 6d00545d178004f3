package report_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/report"
)

func TestParseRanges(t *testing.T) {
	for text, want := range map[string][]diode.Range{
		"1":                    {{First: 1, Last: 1}},
		"4711-4723,4801":       {{First: 4711, Last: 4723}, {First: 4801, Last: 4801}},
		" 9 , 3 - 5 ":          {{First: 3, Last: 5}, {First: 9, Last: 9}}, //nolint:gocritic // the blanks are what is tested
		"1-2,\n3\n\n7,8\r\n":   {{First: 1, Last: 2}, {First: 3, Last: 3}, {First: 7, Last: 7}, {First: 8, Last: 8}},
		"18446744073709551615": {{First: 1<<64 - 1, Last: 1<<64 - 1}},
		"007":                  {{First: 7, Last: 7}},
		"1-16777216":           {{First: 1, Last: 1 << 24}},
		"5-5":                  {{First: 5, Last: 5}},
		"18446744073709551600-18446744073709551615": {{First: 1<<64 - 16, Last: 1<<64 - 1}},
	} {
		if got, err := report.ParseRanges(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestParseRangesRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                             `none given`,
		" \n":                          `none given`, //nolint:gocritic // the blanks are what is tested
		",":                            `none given`,
		"1,,2":                         `item 2 "": first sequence is missing`,
		"1-":                           `item 1 "1-": last sequence is missing`,
		"3,-5":                         `item 2 "-5": first sequence is missing`,
		"1-2-3":                        `item 1 "1-2-3": last sequence "2-3" is not a number`,
		"1,x":                          `item 2 "x": first sequence "x" is not a number`,
		"+5":                           `"+5" is not a number`,
		"0x10":                         `"0x10" is not a number`,
		"1.5":                          `"1.5" is not a number`,
		"٣":                            `is not a number`,
		"1;2":                          `"1;2" is not a number`,
		"7-3":                          `item 1 "7-3": reversed: did you mean 3-7?`,
		"5,0":                          `item 2 "0": first sequence is 0`,
		"0-5":                          `first sequence is 0`,
		"18446744073709551616":         `is too large`,
		"1-5,3":                        `1-5 and 3 overlap`,
		"9,9":                          `9 and 9 overlap`,
		"1-16777217":                   `item 1 "1-16777217": more than 16777216 batches`,
		"1-16777215,20000000-20000001": `item 2 "20000000-20000001": more than 16777216 batches`,
		"1-18446744073709551615":       `more than 16777216 batches`,
		strings.Repeat("1,", 5000):     `5000 items: at most 4096`,
		strings.Repeat(" ", 70000):     `70000 bytes: at most 65536`,
	} {
		if _, err := report.ParseRanges(text); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "ranges: ") {
			t.Errorf("%.40q: %v, expected %s", text, err, want)
		}
	}
}

func TestFormatRanges(t *testing.T) {
	if s := report.FormatRanges(nil); s != "" {
		t.Errorf("nothing: %q", s)
	}
	if s := report.FormatRanges([]diode.Range{{First: 4711, Last: 4723}, {First: 4801, Last: 4801}}); s != "4711-4723,4801" {
		t.Errorf("%q", s)
	}
}

// TestRangesReadBack formats any ranges and reads them back, whole and line by
// line.
func TestRangesReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want []diode.Range
		next := uint64(1)
		for range rapid.IntRange(1, 60).Draw(t, "ranges") {
			first := next + rapid.Uint64Range(0, 1<<rapid.IntRange(0, 50).Draw(t, "scale")).Draw(t, "distance")
			last := first + rapid.Uint64Range(0, 1000).Draw(t, "length")
			want, next = append(want, diode.Range{First: first, Last: last}), last+1
		}
		text := report.FormatRanges(want)
		got, err := report.ParseRanges(text)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%q: %v, %v", text, got, err)
		}
		var parts []diode.Range
		for line := range strings.SplitSeq(text, "\n") {
			if len(line) > 60 {
				t.Fatalf("a line of %d bytes: %s", len(line), line)
			}
			part, err := report.ParseRanges(line)
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, part...)
		}
		if !slices.Equal(parts, want) {
			t.Fatalf("line by line: %v", parts)
		}
	})
}

func FuzzParseRanges(f *testing.F) {
	for _, s := range []string{"4711-4723,4801", "1,,2", "7-3", " 9 , 3 - 5 \n 12,", "18446744073709551615", "0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := report.ParseRanges(text)
		if err != nil {
			return
		}
		again, err := report.ParseRanges(report.FormatRanges(got))
		if err != nil || !slices.Equal(got, again) {
			t.Fatalf("%v, then %v, %v", got, again, err)
		}
	})
}
