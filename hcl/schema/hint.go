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

// hintAtCore improves what hcldec says of unknown names: that an attribute belongs to the core, or what the body knows.
func hintAtCore(diags hcl.Diagnostics, s sdk.Schema) {
	for _, d := range diags {
		if d.Summary != "Unsupported argument" || strings.Contains(d.Detail, "Did you mean") {
			continue
		}
		_, rest, _ := strings.Cut(d.Detail, `"`)
		name, _, _ := strings.Cut(rest, `"`)
		d.Summary = fmt.Sprintf("unknown attribute %q", name)
		if slices.Contains(coreAttributes(), name) {
			d.Detail = name + " is an attribute of the core: write it beside config { }, not in it"
			continue
		}
		d.Detail = value.DidYouMean(name, everyName(s))
	}
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
