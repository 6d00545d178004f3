package config

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// ANSI escape sequences (ECMA-48, section 8.3.117, SGR).
const (
	ansiRed    = "\x1b[31m"
	ansiYellow = "\x1b[33m"
	ansiBold   = "\x1b[1m"
	ansiReset  = "\x1b[0m"
)

// WriteText prints the problems for people: place and text, the source line with the spot marked, the advice. Colour is
// the caller's decision, since only the caller knows whether w is a terminal.
func (p Problems) WriteText(w io.Writer, colour bool) error {
	var b strings.Builder
	for i, q := range p {
		if i > 0 {
			b.WriteByte('\n')
		}
		q.writeText(&b, colour)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// String prints the problems without colour.
func (p Problems) String() string {
	var b strings.Builder
	_ = p.WriteText(&b, false) // a strings.Builder does not fail
	return b.String()
}

func (p Problem) writeText(b *strings.Builder, colour bool) {
	paint := func(code, text string) string {
		if !colour {
			return text
		}
		return code + text + ansiReset
	}
	code := ansiRed
	if p.Severity == Warning {
		code = ansiYellow
	}
	fmt.Fprintf(b, "%s: %s: %s\n", paint(ansiBold, p.Place()), paint(code, string(p.Severity)), p.Text)
	for i, line := range p.Snippet {
		fmt.Fprintf(b, "%5d | %s\n", p.Range.Start.Line+i, line)
		if i == 0 {
			fmt.Fprintf(b, "      | %s\n", paint(code, p.underline(line)))
		}
	}
	if p.Advice != "" {
		fmt.Fprintf(b, "  %s\n", p.Advice)
	}
}

// underline marks the columns of Range in its first line. Tabs are kept so that the marks stand under what they mark.
// HCL counts grapheme clusters and this counts runes: after a combining character the marks stand a little to the left.
func (p Problem) underline(line string) string {
	from := min(max(p.Range.Start.Column-1, 0), utf8.RuneCountInString(line))
	to := utf8.RuneCountInString(line)
	if p.Range.End.Line == p.Range.Start.Line {
		to = min(p.Range.End.Column-1, to)
	}
	var b strings.Builder
	for i, r := range []rune(line) {
		if i >= from {
			break
		}
		if r == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteByte(' ')
		}
	}
	b.WriteString(strings.Repeat("^", max(to-from, 1)))
	return b.String()
}

// problemJSON is the form of a problem under --json. Lines and columns count from 1; 0 means none.
type problemJSON struct {
	Severity  Severity `json:"severity"`
	Rule      Rule     `json:"rule,omitempty"`
	Component string   `json:"component,omitempty"`
	File      string   `json:"file"`
	Line      int      `json:"line,omitempty"`
	Column    int      `json:"column,omitempty"`
	EndLine   int      `json:"end_line,omitempty"`
	EndColumn int      `json:"end_column,omitempty"`
	Text      string   `json:"text"`
	Advice    string   `json:"advice,omitempty"`
	Snippet   []string `json:"snippet,omitempty"`
}

// MarshalJSON gives a problem the flat form that scripts read.
func (p Problem) MarshalJSON() ([]byte, error) {
	return json.Marshal(problemJSON{
		Severity:  p.Severity,
		Rule:      p.Rule,
		Component: p.Component,
		File:      p.Range.Filename,
		Line:      p.Range.Start.Line,
		Column:    p.Range.Start.Column,
		EndLine:   p.Range.End.Line,
		EndColumn: p.Range.End.Column,
		Text:      p.Text,
		Advice:    p.Advice,
		Snippet:   p.Snippet,
	})
}
