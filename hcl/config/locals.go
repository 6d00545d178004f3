package config

import (
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/sluice-gateway/sluice/hcl/value"
)

// evalContext is what expressions may use: locals and secret("name").
func evalContext(locals map[string]cty.Value) *hcl.EvalContext {
	return &hcl.EvalContext{
		Variables: map[string]cty.Value{"local": cty.ObjectVal(locals)},
		Functions: map[string]function.Function{"secret": value.SecretFunction()},
	}
}

// readLocals computes the locals of all files. They may use each other in any order, but not in a circle.
func (d *decoder) readLocals() {
	waiting := d.collectLocals()
	done := map[string]cty.Value{}
	for progress := true; progress; {
		progress = false
		for _, name := range slices.Sorted(maps.Keys(waiting)) {
			if needsAny(waiting[name].Expr, waiting) {
				continue
			}
			d.computeLocal(waiting[name], done)
			delete(waiting, name)
			progress = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(waiting)) {
		d.add(Problem{Range: waiting[name].Range, Rule: "locals", Text: "local." + name + " depends on itself", Advice: "break the circle: one of the locals must not use the others"})
	}
	d.ctx = evalContext(done)
}

func (d *decoder) collectLocals() map[string]*hcl.Attribute {
	found := map[string]*hcl.Attribute{}
	for _, f := range d.src.files {
		content, _, _ := f.body.PartialContent(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "locals"}}})
		for _, b := range content.Blocks {
			attrs, diags := b.Body.JustAttributes()
			for _, p := range d.src.Problems(diags) {
				d.add(p)
			}
			for _, name := range slices.Sorted(maps.Keys(attrs)) {
				if first, twice := found[name]; twice {
					d.add(Problem{
						Range: attrs[name].NameRange, Rule: "duplicate", Text: "local." + name + " stands twice",
						Advice: "the other one is at " + place(first.NameRange),
					})
					continue
				}
				found[name] = attrs[name]
			}
		}
	}
	return found
}

// needsAny reports whether an expression uses one of the locals that wait.
func needsAny(e hcl.Expression, waiting map[string]*hcl.Attribute) bool {
	for _, t := range e.Variables() {
		if t.RootName() != "local" || len(t) < 2 {
			continue
		}
		if step, ok := t[1].(hcl.TraverseAttr); ok && waiting[step.Name] != nil {
			return true
		}
	}
	return false
}

// computeLocal evaluates one local with those that are done. A failed one is entered as null so that what uses it is
// not reported as well.
func (d *decoder) computeLocal(a *hcl.Attribute, done map[string]cty.Value) {
	v, diags := value.Evaluate(a.Expr, evalContext(done))
	for _, p := range d.src.Problems(diags) {
		p.Text = "local." + a.Name + ": " + p.Text
		d.add(p)
	}
	if !diags.HasErrors() && weight(v, maxLocal) > maxLocal {
		d.add(Problem{Range: a.Expr.Range(), Rule: "locals", Text: "local." + a.Name + " is too large", Advice: "a local is for a value that differs between sites"})
		v = cty.NullVal(cty.DynamicPseudoType)
	}
	if diags.HasErrors() {
		v = cty.NullVal(cty.DynamicPseudoType)
	}
	done[a.Name] = v
}

// maxLocal bounds a local in bytes of text plus elements of lists. Locals use locals: without a bound forty lines that
// each double the one before would fill the memory.
const maxLocal = 4096

// weight counts the texts and elements of a value and stops soon after the budget is spent.
func weight(v cty.Value, budget int) int {
	switch {
	case v.IsNull() || !v.IsKnown():
		return 1
	case v.Type() == cty.String:
		return 1 + len(v.AsString())
	case !v.CanIterateElements():
		return 1
	}
	n := 1
	for it := v.ElementIterator(); it.Next() && n <= budget; {
		_, e := it.Element()
		n += weight(e, budget-n)
	}
	return n
}
