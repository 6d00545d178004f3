package value

import (
	"net"
	"net/netip"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Rule names the rule that a diagnostic is about. It travels in hcl.Diagnostic.Extra.
type Rule string

// RuleSecret is given to a secret that was written out. Its source line must not be shown: messages end up in logs.
const RuleSecret Rule = "secret"

// problem is one error diagnostic at a place: what is wrong, and what to do.
func problem(at hcl.Range, text, advice string) hcl.Diagnostics {
	return hcl.Diagnostics{{Severity: hcl.DiagError, Summary: text, Detail: advice, Subject: &at}}
}

// bare finds what stands unquoted where a value begins: after "=", "[" or ",".
var bare = regexp.MustCompile(`[=\[,]\s*([0-9A-Fa-f:][0-9A-Za-z.:/%-]*)`)

// Unquoted looks at one line of source for an address, size, duration, rate or date that stands without quotes, which
// HCL reads as arithmetic or not at all. It returns what is wrong, and the word with its offset in the line; the word is
// "" when there is none.
func Unquoted(line string) (text, word string, offset int) {
	for _, m := range bare.FindAllStringSubmatchIndex(line, -1) {
		word := line[m[2]:m[3]]
		if kind := kindOf(word); kind != "" {
			return kind + " must be quoted", word, m[2]
		}
	}
	return "", "", 0
}

// kindOf says in the plural what a bare word would have been, or "" when it is nothing that needs quotes.
func kindOf(word string) string {
	if strings.Trim(word, "0123456789.") == "" && strings.Count(word, ".") < 2 {
		return "" // an ordinary number
	}
	_, isAddr := netip.ParseAddr(word)
	_, isPort := netip.ParseAddrPort(word)
	_, isPrefix := netip.ParsePrefix(word)
	_, isMAC := net.ParseMAC(word)
	if isAddr == nil || isPort == nil || isPrefix == nil || isMAC == nil {
		return "addresses"
	}
	_, isDuration := ParseDuration(word)
	_, isBytes := ParseBytes(word)
	_, isBits := ParseBitRate(word)
	_, isRate := ParseRate(word)
	_, isPercent := ParsePercent(word)
	if isDuration == nil || isBytes == nil || isBits == nil || isRate == nil || isPercent == nil {
		return "sizes, durations, rates and shares"
	}
	if date.MatchString(word) {
		return "dates"
	}
	return ""
}

var date = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)

// Evaluate computes an expression and turns what HCL says of a bad one into what an operator can act on. The value is
// known, not null and carries no marks when no error is returned.
func Evaluate(expr hcl.Expression, ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	if d := refuseTraversal(expr, ctx); d != nil {
		return cty.NilVal, d
	}
	v, diags := expr.Value(ctx)
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	v, _ = v.UnmarkDeep()
	if !v.IsWhollyKnown() {
		return cty.NilVal, problem(expr.Range(), "this value cannot be computed", "write it out")
	}
	if v.IsNull() {
		return cty.NilVal, problem(expr.Range(), "null is not a value", "leave the attribute out to get its default")
	}
	return v, nil
}

// refuseTraversal explains words that stand without quotes and references to locals that are not there.
func refuseTraversal(expr hcl.Expression, ctx *hcl.EvalContext) hcl.Diagnostics {
	e, ok := expr.(*hclsyntax.ScopeTraversalExpr)
	if !ok {
		return nil
	}
	root := e.Traversal.RootName()
	if root != "local" {
		word := TraversalText(e.Traversal)
		return problem(expr.Range(), word+" is no value here", `texts are quoted: write "`+word+`"; of names only local.NAME can be used as a value`)
	}
	if len(e.Traversal) < 2 {
		return problem(expr.Range(), "local alone is no value", "write local.NAME")
	}
	step, ok := e.Traversal[1].(hcl.TraverseAttr)
	if !ok || ctx == nil {
		return nil
	}
	locals, ok := ctx.Variables["local"]
	if !ok || !locals.Type().IsObjectType() || locals.Type().HasAttribute(step.Name) {
		return nil
	}
	return problem(expr.Range(), "there is no local."+step.Name, DidYouMean("local."+step.Name, localNames(locals)))
}

// localNames lists the locals as an operator writes them, sorted.
func localNames(locals cty.Value) []string {
	var names []string
	for it := locals.ElementIterator(); it.Next(); {
		k, _ := it.Element()
		names = append(names, "local."+k.AsString())
	}
	return names
}

// TraversalText prints a traversal as it was written, as far as its steps are names.
func TraversalText(t hcl.Traversal) string {
	var b strings.Builder
	for _, step := range t {
		switch s := step.(type) {
		case hcl.TraverseRoot:
			b.WriteString(s.Name)
		case hcl.TraverseAttr:
			b.WriteString("." + s.Name)
		case hcl.TraverseIndex:
			b.WriteString("[…]")
		default:
			b.WriteString(".…")
		}
	}
	return b.String()
}
