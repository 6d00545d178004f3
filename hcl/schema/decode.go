package schema

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/customdecode"
	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/zclconf/go-cty/cty"

	"github.com/sluice-gateway/sluice/hcl/value"
	"github.com/sluice-gateway/sluice/sdk"
)

// Decode reads a body by a schema and returns the JSON object that the plugin is configured with: every attribute that
// was written or has a default, durations in nanoseconds, sizes in bytes, rates per second, shares as fractions. A block
// that was left out is left out there too, defaults and all: whether `tls {}` was written means something. ctx gives the locals and functions that expressions may use. The JSON is nil when there are errors; all
// errors of the body are returned at once.
func Decode(body hcl.Body, s sdk.Schema, ctx *hcl.EvalContext) (json.RawMessage, hcl.Diagnostics) {
	if err := Check(s); err != nil {
		return nil, hcl.Diagnostics{{
			Severity: hcl.DiagError, Summary: "the plugin's schema is wrong: " + err.Error(), Detail: "this is an error of the plugin, not of the configuration",
			Subject: body.MissingItemRange().Ptr(),
		}}
	}
	got, diags := hcldec.Decode(body, Spec(s), ctx)
	explain(diags, s)
	if got.IsNull() || !got.IsKnown() {
		return nil, diags
	}
	object, more := decodeObject(got, s)
	if diags = append(diags, more...); diags.HasErrors() {
		return nil, diags
	}
	raw, err := json.Marshal(object)
	if err != nil {
		return nil, append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "the body cannot be handed over: " + err.Error(), Subject: body.MissingItemRange().Ptr()})
	}
	return raw, diags
}

// decodeObject reads the attributes and blocks of one level.
func decodeObject(got cty.Value, s sdk.Schema) (map[string]any, hcl.Diagnostics) {
	object := map[string]any{}
	var diags hcl.Diagnostics
	for _, a := range s.Attributes {
		v, more := decodeAttribute(got.GetAttr(a.Name), a)
		diags = append(diags, more...)
		if v != nil {
			object[a.Name] = v
		}
	}
	for _, b := range s.Blocks {
		inner := got.GetAttr(b.Name)
		if inner.IsNull() || !inner.IsKnown() {
			continue
		}
		v, more := decodeObject(inner, b.Schema)
		diags = append(diags, more...)
		object[b.Name] = v
	}
	return object, diags
}

// decodeAttribute reads one attribute; nil is one that was left out and has no default.
func decodeAttribute(got cty.Value, a sdk.Attribute) (any, hcl.Diagnostics) {
	if got.IsNull() || !got.IsKnown() {
		return defaultOf(a)
	}
	closure := customdecode.ExpressionClosureFromVal(got)
	if a.Sensitive {
		ref, diags := value.ReadSecret(closure.Expression, closure.EvalContext)
		return ref, named(a.Name, diags)
	}
	v, diags := read(closure.Expression, closure.EvalContext, a)
	return v, named(a.Name, diags)
}

// read evaluates an expression as the attribute's type, checks its limits and its format.
func read(e hcl.Expression, ctx *hcl.EvalContext, a sdk.Attribute) (any, hcl.Diagnostics) {
	v, diags := value.Read(e, ctx, value.Type(a.Type), value.Limits{Enum: a.Enum, Min: a.Min, Max: a.Max})
	if diags.HasErrors() {
		return nil, diags
	}
	if text, advice := checkFormat(v, a.Format); text != "" {
		at := e.Range()
		return nil, hcl.Diagnostics{{Severity: hcl.DiagError, Summary: text, Detail: advice, Subject: &at}}
	}
	if d, ok := v.(time.Duration); ok {
		return d.Nanoseconds(), nil
	}
	return v, nil
}

// defaultOf reads an attribute's default as if an operator had written it.
func defaultOf(a sdk.Attribute) (any, hcl.Diagnostics) {
	if a.Default == nil || a.Sensitive {
		return nil, nil
	}
	v, err := defaultValue(a.Default)
	if err != nil {
		return nil, hcl.Diagnostics{{Severity: hcl.DiagError, Summary: fmt.Sprintf("the default of %q: %v", a.Name, err)}}
	}
	return read(hcl.StaticExpr(v, hcl.Range{}), nil, a)
}

// named puts the attribute's name before what is wrong with its value.
func named(name string, diags hcl.Diagnostics) hcl.Diagnostics {
	for _, d := range diags {
		d.Summary = name + ": " + d.Summary
	}
	return diags
}
