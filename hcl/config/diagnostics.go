package config

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"

	"github.com/sluice-gateway/sluice/hcl/value"
)

// wording turns one of HCL's own messages into the words of this product's documents.
type wording struct {
	summary *regexp.Regexp
	detail  *regexp.Regexp // its first group is the name that the message is about
	rule    Rule
	text    string // %NAME% stands for that name
}

// wordings are tried in order; a message that none of them knows is shown as HCL wrote it.
var wordings = []wording{
	{regexp.MustCompile(`^Unsupported argument$`), regexp.MustCompile(`named "([^"]*)"`), "unknown-attribute", `unknown attribute "%NAME%"`},
	{regexp.MustCompile(`^Extraneous JSON object property$`), regexp.MustCompile(`named "([^"]*)"`), "unknown-attribute", `unknown attribute or block "%NAME%"`},
	{regexp.MustCompile(`^Unsupported block type$`), regexp.MustCompile(`type "([^"]*)"`), "unknown-block", `unknown block "%NAME%"`},
	{regexp.MustCompile(`^Missing required argument$`), regexp.MustCompile(`argument "([^"]*)"`), "missing-attribute", `the attribute "%NAME%" is missing`},
	{regexp.MustCompile(`^Missing \S+ block$`), regexp.MustCompile(`type "([^"]*)"`), "missing-block", `the block "%NAME%" is missing`},
	{regexp.MustCompile(`^Duplicate (\S+) block$`), regexp.MustCompile(`type "([^"]*)"`), "duplicate", `the block "%NAME%" stands twice`},
	{regexp.MustCompile(`^Attribute redefined$`), regexp.MustCompile(`argument "([^"]*)"`), "duplicate", `the attribute "%NAME%" stands twice`},
	{regexp.MustCompile(`^(Extraneous label|Missing \S+) for `), regexp.MustCompile(`(\S+) blocks`), "labels", `the block %NAME% has the wrong number of names`},
}

// suggestion finds HCL's own suggestion in a detail text.
var suggestion = regexp.MustCompile(`Did you mean ("[^"]*"|to define [^?]*)\?`)

// otherPlace finds where the first of two stands, in HCL's own notation of a range.
var otherPlace = regexp.MustCompile(`at (\S+):(\d+),(\d+)-[\d,]*\d`)

// Problems gives diagnostics of HCL or of hcl/schema the form, the words and the source lines of this package.
func (s *Sources) Problems(diags hcl.Diagnostics) Problems {
	var out Problems
	explained := map[string]bool{}
	last := Problem{}
	for _, d := range diags {
		p := fromDiagnostic(d)
		echo := p.Rule == "syntax" && p.Text == last.Text && p.Range.Start.Line <= last.Range.Start.Line+1
		if last = p; echo {
			continue // an unclosed quote makes the parser stumble line after line
		}
		if d.Severity == hcl.DiagError && s.explainUnquoted(&p) {
			line := place(lineOnly(p.Range))
			if explained[line] {
				continue // one slip, one message: the parser stumbles several times over it
			}
			explained[line] = true
		}
		out = append(out, s.withSnippet(p))
	}
	return out.sorted()
}

// explainUnquoted replaces HCL's complaint about a line on which an address or quantity lacks its quotes, and points at
// the whole word.
func (s *Sources) explainUnquoted(p *Problem) bool {
	line := s.line(p.Range)
	text, word, offset := value.Unquoted(line)
	if word == "" || p.Rule != "syntax" && p.Rule != "value" {
		return false
	}
	p.Rule, p.Text, p.Advice = "unquoted", text, `write "`+word+`"`
	p.Range.Start.Byte += offset + 1 - p.Range.Start.Column // exact where no character before it is wider than a byte
	p.Range.Start.Column = utf8.RuneCountInString(line[:offset]) + 1
	p.Range.End = hcl.Pos{Line: p.Range.Start.Line, Column: p.Range.Start.Column + len(word), Byte: p.Range.Start.Byte + len(word)}
	return true
}

// lineOnly widens a range to the start of its line, so that two ranges on one line compare equal.
func lineOnly(r hcl.Range) hcl.Range {
	r.Start.Column = 1
	return r
}

func fromDiagnostic(d *hcl.Diagnostic) Problem {
	p := Problem{Severity: Error, Rule: "value", Text: d.Summary, Advice: d.Detail}
	if d.Severity == hcl.DiagWarning {
		p.Severity = Warning
	}
	if d.Subject != nil {
		p.Range = *d.Subject
	}
	if rule, ok := d.Extra.(Rule); ok {
		p.Rule = rule
	}
	if p.Rule == value.RuleSecret {
		p.Snippet = []string{} // withSnippet leaves it alone
	}
	for _, w := range wordings {
		name := w.detail.FindStringSubmatch(d.Detail)
		if !w.summary.MatchString(d.Summary) || name == nil {
			continue
		}
		p.Rule, p.Text, p.Advice = w.rule, replaceName(w.text, name[1]), d.Detail
		switch w.rule {
		case "unknown-attribute", "unknown-block":
			p.Advice = adviceOf(d.Detail)
		case "duplicate":
			p.Advice = otherPlace.ReplaceAllString(otherPlace.FindString(d.Detail), "the other one is at $1:$2:$3")
		case "missing-attribute", "missing-block":
			p.Advice = ""
		}
		return p
	}
	return p
}

func replaceName(text, name string) string {
	return strings.ReplaceAll(text, "%NAME%", name)
}

// adviceOf keeps only the suggestion of HCL's sentence; the rest is said by the text.
func adviceOf(detail string) string {
	m := suggestion.FindStringSubmatch(detail)
	if m == nil {
		return ""
	}
	return "did you mean " + m[1] + "?"
}
