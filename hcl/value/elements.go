package value

import "github.com/hashicorp/hcl/v2"

// Element is one text of a list and where it stands.
type Element struct {
	Text  string
	Range hcl.Range
}

// ReadList reads a list of texts and keeps the place of each element, so that a bad one can be pointed at. Where the
// list is computed, every element has the place of the whole expression.
func ReadList(expr hcl.Expression, ctx *hcl.EvalContext, limits Limits) ([]Element, hcl.Diagnostics) {
	got, diags := Read(expr, ctx, StringList, limits)
	if diags.HasErrors() {
		return nil, diags
	}
	texts, _ := got.([]string)
	exprs, static := hcl.ExprList(expr)
	list := make([]Element, len(texts))
	for i, text := range texts {
		list[i] = Element{Text: text, Range: expr.Range()}
		if !static.HasErrors() && len(exprs) == len(texts) {
			list[i].Range = exprs[i].Range()
		}
	}
	return list, nil
}
