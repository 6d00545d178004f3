package value

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// SecretRef names a secret that the node holds outside the configuration. A configuration carries the name, never the
// secret, so that files, diffs, logs and plans of a configuration may be read by everybody who may read it.
type SecretRef struct {
	Name string `json:"secret"`
}

// secretKey is the only attribute of the object that stands for a reference while HCL is evaluated.
const secretKey = "secret"

// SecretFunction is the HCL function secret("name"). Its result is an object that holds the name; nothing is looked up.
func SecretFunction() function.Function {
	return function.New(&function.Spec{
		Description: "Names a secret that the node holds outside the configuration.",
		Params:      []function.Parameter{{Name: "name", Type: cty.String}},
		Type:        function.StaticReturnType(cty.Object(map[string]cty.Type{secretKey: cty.String})),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.ObjectVal(map[string]cty.Value{secretKey: args[0]}), nil
		},
	})
}

// isSecret reports whether v came out of secret("name").
func isSecret(v cty.Value) bool {
	t := v.Type()
	return t.IsObjectType() && len(t.AttributeTypes()) == 1 && t.HasAttribute(secretKey) && t.AttributeType(secretKey) == cty.String
}

// ReadSecret reads an expression that must be secret("name").
func ReadSecret(expr hcl.Expression, ctx *hcl.EvalContext) (SecretRef, hcl.Diagnostics) {
	v, diags := Evaluate(expr, ctx)
	if diags.HasErrors() {
		return SecretRef{}, diags
	}
	if !isSecret(v) {
		refused := problem(expr.Range(), "a secret does not stand in a configuration",
			`write secret("name") and put the value into the node's secrets under that name`)
		refused[0].Extra = RuleSecret
		return SecretRef{}, refused
	}
	name := v.GetAttr(secretKey)
	if name.IsNull() || !name.IsKnown() || name.AsString() == "" {
		return SecretRef{}, problem(expr.Range(), "secret() names no secret", `write secret("name")`)
	}
	return SecretRef{Name: name.AsString()}, nil
}
