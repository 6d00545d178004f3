package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/sluice-gateway/sluice/hcl/value"
)

// reference is a resolved address and where it was written.
type reference struct {
	address string
	at      hcl.Range
}

// ref reads an attribute that refers to one object of the given kinds and returns its address, "" when it is missing
// or was reported.
func (s *section) ref(name string, kinds ...string) string {
	attr, there := s.attrs[name]
	if !there {
		return ""
	}
	return s.resolve(name, attr.Expr, kinds).address
}

// refs reads a list of references. With single, one reference without brackets is a list of one.
func (s *section) refs(name string, single bool, kinds ...string) []reference {
	attr, there := s.attrs[name]
	if !there {
		return nil
	}
	exprs, diags := hcl.ExprList(attr.Expr)
	if diags.HasErrors() {
		if !single {
			s.wrong("reference", name, "expected a list of references", "write ["+kindExample(kinds[0])+"]")
			return nil
		}
		exprs = []hcl.Expression{attr.Expr}
	}
	var out []reference
	for _, e := range exprs {
		r := s.resolve(name, e, kinds)
		twice := slices.ContainsFunc(out, func(o reference) bool { return o.address == r.address })
		switch {
		case r.address == "":
		case twice:
			s.problem("duplicate", r.at, fmt.Sprintf("%s: %s stands twice", name, r.address), "")
		default:
			out = append(out, r)
		}
	}
	if len(exprs) == 0 && !single {
		s.wrong("reference", name, "the list is empty", "write ["+kindExample(kinds[0])+"]")
	}
	return out
}

// resolve finds the object that an expression refers to. HCL would only say that a variable is unknown; here the
// objects are known, so a typo gets a suggestion.
func (s *section) resolve(name string, e hcl.Expression, kinds []string) reference {
	at := e.Range()
	traversal, diags := hcl.AbsTraversalForExpr(e)
	if diags.HasErrors() {
		s.explainNoReference(name, e, kinds)
		return reference{at: at}
	}
	address := value.TraversalText(traversal)
	h := s.d.find(address)
	switch {
	case h == nil:
		s.problem("reference", at, fmt.Sprintf("%s: there is no %s", name, address), s.suggest(address, kinds))
	case !slices.Contains(kinds, h.word.name):
		s.problem("reference", at, fmt.Sprintf("%s: a %s is expected here, %s is a %s", name, strings.Join(kinds, " or a "), address, h.word.name), s.suggest(address, kinds))
	default:
		return reference{address: address, at: at}
	}
	return reference{at: at}
}

// suggest offers the objects of the right kinds, or says how to make one when there is none.
func (s *section) suggest(address string, kinds []string) string {
	candidates := s.d.addresses(kinds...)
	if len(candidates) == 0 {
		return "there is no " + strings.Join(kinds, " or ") + " block at all"
	}
	return value.DidYouMean(address, candidates)
}

// explainNoReference reports an expression that is no reference, above all one in quotes.
func (s *section) explainNoReference(name string, e hcl.Expression, kinds []string) {
	example := kindExample(kinds[0])
	v, diags := value.Read(e, s.d.ctx, value.String, value.Limits{})
	text, _ := v.(string)
	if diags.HasErrors() || text == "" {
		s.problem("reference", e.Range(), name+": expected a reference", "write it without quotes: "+example)
		return
	}
	for _, candidate := range []string{text, kinds[0] + "." + text} {
		if s.d.find(candidate) != nil {
			example = candidate
		}
	}
	s.problem("reference", e.Range(), fmt.Sprintf("%s: expected a reference, got the text %q", name, text), "write it without quotes: "+example)
}

func kindExample(kind string) string {
	switch kind {
	case "receiver", "sink":
		return kind + ".PLUGIN.NAME"
	default:
		return kind + ".NAME"
	}
}
