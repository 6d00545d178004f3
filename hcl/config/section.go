package config

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/sluice-gateway/sluice/hcl/value"
)

// decoder carries what every phase needs and gathers the problems of the phase that runs.
type decoder struct {
	cfg      *Config
	src      *Sources
	ctx      *hcl.EvalContext
	headers  []header
	problems Problems
}

// add takes a problem in and gives it its source lines. A problem is an error unless it says otherwise.
func (d *decoder) add(p Problem) {
	if p.Severity == "" {
		p.Severity = Error
	}
	d.problems = append(d.problems, d.src.withSnippet(p))
}

// section is one block while its attributes are read.
type section struct {
	d       *decoder
	word    blockWord
	address string
	at      hcl.Range // of the header
	attrs   hcl.Attributes
	blocks  hcl.Blocks
	config  hcl.Body // of receivers and sinks
}

// open takes a block apart by its word and reports what is unknown, missing or there twice.
func (d *decoder) open(w blockWord, address string, body hcl.Body, at hcl.Range) *section {
	content, diags := body.Content(w.schema())
	s := &section{d: d, word: w, address: address, at: at, attrs: content.Attributes, blocks: content.Blocks}
	for _, p := range d.src.Problems(diags) {
		p.Component = address
		if p.Advice == "" {
			p.Advice = s.adviceOnUnknown(p.Rule)
		}
		d.add(p)
	}
	s.reportMissing()
	return s
}

// adviceOnUnknown says what may stand in the block, when HCL found nothing similar.
func (s *section) adviceOnUnknown(rule Rule) string {
	switch {
	case rule != "unknown-attribute" && rule != "unknown-block":
		return ""
	case s.word.plugin:
		return "what only the plugin understands stands inside config { }; " + value.DidYouMean("", s.word.known())
	default:
		return value.DidYouMean("", s.word.known())
	}
}

func (s *section) reportMissing() {
	for _, a := range s.word.attrs {
		if _, there := s.attrs[a.name]; a.required && !there {
			s.problem("missing-attribute", s.at, fmt.Sprintf("%s: the attribute %q is missing", s.address, a.name), a.doc)
		}
	}
}

// child opens the nested block of a name; where it is left out, every attribute has its default.
func (s *section) child(name string) *section {
	w := s.word.block(name)
	address := s.address + "." + name
	found := s.nested(name)
	if found != nil {
		return s.d.open(w, address, found.Body, found.DefRange)
	}
	empty := &section{d: s.d, word: w, address: address, at: s.at}
	if w.required {
		s.problem("missing-block", s.at, fmt.Sprintf("%s: the block %q is missing", s.address, name), w.doc)
	}
	return empty
}

// nested finds the one block of a name; a second one is reported.
func (s *section) nested(name string) *hcl.Block {
	var found *hcl.Block
	for _, b := range s.blocks {
		if b.Type != name {
			continue
		}
		if found != nil {
			s.problem("duplicate", b.DefRange, fmt.Sprintf("%s: the block %q stands twice", s.address, name), "the other one is at "+place(found.DefRange))
			continue
		}
		found = b
	}
	return found
}

// has reports whether the operator wrote the attribute.
func (s *section) has(name string) bool {
	_, there := s.attrs[name]
	return there
}

// rangeOf is where the attribute's value stands, or the block's header when it was left out.
func (s *section) rangeOf(name string) hcl.Range {
	if a, there := s.attrs[name]; there {
		return a.Expr.Range()
	}
	return s.at
}

// problem reports an error at a place of this block.
func (s *section) problem(rule Rule, at hcl.Range, text, advice string) {
	s.d.add(Problem{Range: at, Rule: rule, Component: s.address, Text: text, Advice: advice})
}

// wrong reports an error at the value of an attribute.
func (s *section) wrong(rule Rule, name, text, advice string) {
	s.problem(rule, s.rangeOf(name), name+": "+text, advice)
}

// report passes on what was wrong with the value of an attribute.
func (s *section) report(name string, diags hcl.Diagnostics) {
	for _, p := range s.d.src.Problems(diags) {
		p.Component = s.address
		if p.Rule == "value" {
			p.Text = name + ": " + p.Text
		}
		s.d.add(p)
	}
}

// expr returns the expression of an attribute or of its default; nil when there is neither.
func (s *section) expr(a attributeWord) hcl.Expression {
	if got, there := s.attrs[a.name]; there {
		return got.Expr
	}
	if a.def == "" {
		return nil
	}
	def, _ := hclsyntax.ParseExpression([]byte(a.def), "default", hcl.InitialPos) // a test parses every default
	return def
}

// get reads an attribute as the Go type that its word's type names; the zero value stands for "left out, no default"
// and for "reported as wrong".
func get[T any](s *section, name string) T {
	got, _ := read[T](s, name)
	return got
}

// read is get for callers that go on to check the value: ok is false when there is none or it was reported.
func read[T any](s *section, name string) (got T, ok bool) {
	a := s.word.attr(name)
	e := s.expr(a)
	if e == nil {
		return got, false
	}
	v, diags := value.Read(e, s.d.ctx, a.typ, value.Limits{Enum: a.enum, Min: a.min, Max: a.max})
	s.report(name, diags)
	got, ok = v.(T)
	return got, ok
}

// list reads a list of texts with the place of each.
func (s *section) list(name string) []value.Element {
	a := s.word.attr(name)
	e := s.expr(a)
	if e == nil {
		return nil
	}
	list, diags := value.ReadList(e, s.d.ctx, value.Limits{Enum: a.enum, Min: a.min, Max: a.max})
	s.report(name, diags)
	return list
}

// texts reads a list of texts that must differ.
func (s *section) texts(name string) []string {
	var out []string
	for _, e := range s.list(name) {
		if slices.Contains(out, e.Text) {
			s.problem("duplicate", e.Range, fmt.Sprintf("%s: %q stands twice", name, e.Text), "")
			continue
		}
		out = append(out, e.Text)
	}
	return out
}
