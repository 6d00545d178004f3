package schema

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/sluice-gateway/sluice/hcl/value"
	"github.com/sluice-gateway/sluice/sdk"
)

// coreAttributes are those that operators look for inside config {} though they stand beside it. No plugin's attribute
// of the same name is hidden by this: the hint is given only where the schema does not know the name.
func coreAttributes() []string {
	return []string{"node", "enabled", "port", "allow_from", "connect", "max_connections", "compression"}
}

// explain improves what hcldec says of unknown and missing names, with what only the schema knows.
func explain(diags hcl.Diagnostics, s sdk.Schema) {
	for _, d := range diags {
		_, rest, _ := strings.Cut(d.Detail, `"`)
		name, _, _ := strings.Cut(rest, `"`)
		switch {
		case d.Summary == "Unsupported argument" && !strings.Contains(d.Detail, "Did you mean"):
			d.Extra = value.Rule("unknown-attribute")
			d.Summary = fmt.Sprintf("unknown attribute %q", name)
			d.Detail = value.DidYouMean(name, everyName(s))
			if slices.Contains(coreAttributes(), name) {
				d.Detail = name + " is an attribute of the core: write it beside config { }, not in it"
			}
		case d.Summary == "Missing required argument":
			d.Extra = value.Rule("missing-attribute")
			d.Summary = fmt.Sprintf("the attribute %q is missing", name)
			d.Detail = docOf(name, s)
		}
	}
}

// docOf returns the description of an attribute, "" when blocks hold several of that name.
func docOf(name string, s sdk.Schema) string {
	var docs []string
	var walk func(sdk.Schema)
	walk = func(s sdk.Schema) {
		for _, a := range s.Attributes {
			if a.Name == name {
				docs = append(docs, a.Doc)
			}
		}
		for _, b := range s.Blocks {
			walk(b.Schema)
		}
	}
	walk(s)
	if len(docs) != 1 {
		return ""
	}
	return docs[0]
}

// everyName lists the attributes and blocks of a schema with those of its nested blocks.
func everyName(s sdk.Schema) []string {
	var names []string
	for _, a := range s.Attributes {
		names = append(names, a.Name)
	}
	for _, b := range s.Blocks {
		names = append(names, b.Name+" {}")
		for _, inner := range everyName(b.Schema) {
			names = append(names, b.Name+"."+inner)
		}
	}
	return names
}
