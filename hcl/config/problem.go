package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/sluice-gateway/sluice/hcl/value"
)

// Severity says whether a configuration can be used in spite of a problem.
type Severity string

// The severities.
const (
	Error   Severity = "error"   // the configuration is not used
	Warning Severity = "warning" // it is used, and the operator is told
)

// Rule names the rule that a problem is about, for scripts and for callers that decide on it.
type Rule = value.Rule

// Rules that callers decide on; the others are words for people and scripts.
const (
	// RuleExceptionEnded is given when a component needs an exception whose last day has passed. At run time the
	// gateway closes that component (Problem.Component) and leaves the others alone.
	RuleExceptionEnded Rule = "exception-ended"
	// RuleNeedsException is given when a component weakens a defence and no exception allows it.
	RuleNeedsException Rule = "needs-exception"
	// RulePlugin marks problems that a plugin or its host found and that ProblemAt gave a place.
	RulePlugin Rule = "plugin"
)

// Problem is one finding, with its place in the files and what to do about it.
type Problem struct {
	Range     hcl.Range // place in the source; only Filename is set when there is no better one
	Severity  Severity
	Rule      Rule
	Component string   // address of the component, such as "receiver.udp.syslog", where the finding is about one
	Text      string   // what is wrong, one sentence without a full stop
	Advice    string   // what to do, "" when the text says it all
	Snippet   []string // source lines of Range, at most maxSnippet, from Range.Start.Line on
}

// maxSnippet bounds how many source lines of a long value are shown.
const maxSnippet = 3

// Problems is a list of findings. It is an error value only when it HasErrors: use Err.
type Problems []Problem

// HasErrors reports whether one of the problems keeps the configuration from being used.
func (p Problems) HasErrors() bool {
	return slices.ContainsFunc(p, func(q Problem) bool { return q.Severity == Error })
}

// Err joins the errors among the problems into one error, or returns nil when there are only warnings.
func (p Problems) Err() error {
	var all []error
	for _, q := range p {
		if q.Severity == Error {
			all = append(all, q)
		}
	}
	return errors.Join(all...)
}

// Error is the problem in one line: place, text and advice.
func (p Problem) Error() string {
	text := p.Place() + ": " + p.Text
	if p.Advice != "" {
		text += " (" + p.Advice + ")"
	}
	return text
}

// Place is "file:line:column", or the file alone when the problem is about a whole file or directory.
func (p Problem) Place() string { return place(p.Range) }

func place(r hcl.Range) string {
	if r.Start.Line == 0 {
		return r.Filename
	}
	return fmt.Sprintf("%s:%d:%d", r.Filename, r.Start.Line, r.Start.Column)
}

// sorted returns the problems in reading order: by file, then by line. Problems of one place keep their order.
func (p Problems) sorted() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(
			strings.Compare(a.Range.Filename, b.Range.Filename),
			cmp.Compare(a.Range.Start.Line, b.Range.Start.Line),
			cmp.Compare(a.Range.Start.Column, b.Range.Start.Column),
		)
	})
	return p
}
