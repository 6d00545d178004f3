package schema

import (
	"github.com/hashicorp/hcl/v2/ext/customdecode"
	"github.com/hashicorp/hcl/v2/hcldec"

	"github.com/sluice-gateway/sluice/sdk"
)

// Spec translates a plugin's schema into the specification by which hcldec takes a body apart. Attributes come out as
// expressions, not as values, so that what is wrong with one can be said in the words and at the place of that
// attribute. What is required is checked by Decode, which knows the block's name.
func Spec(s sdk.Schema) hcldec.Spec {
	spec := hcldec.ObjectSpec{}
	for _, a := range s.Attributes {
		spec[a.Name] = &hcldec.AttrSpec{Name: a.Name, Type: customdecode.ExpressionClosureType, Required: a.Required}
	}
	for _, b := range s.Blocks {
		spec[b.Name] = &hcldec.BlockSpec{TypeName: b.Name, Required: b.Required, Nested: Spec(b.Schema)}
	}
	return spec
}
