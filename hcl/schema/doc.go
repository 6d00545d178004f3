// Package schema decodes the body of a `config {}` block by the schema that its plugin returned, and prints that schema
// as documentation. It knows the plugin contract's description of attributes and nothing of any particular plugin, of
// files or of the core's own blocks.
//
//	sdk.Schema ──Spec──> hcldec.Spec ┐
//	                                 ├─hcldec─> expressions ──hcl/value──> Go values ──> JSON for the plugin
//	hcl.Body ────────────────────────┘              │ types, units, limits, defaults, secrets
//	                                                └──> hcl.Diagnostics with the attribute's place
//
// The plugin never sees HCL: it receives one JSON object with every default filled in and every quantity in its base
// unit. A secret arrives in it as {"secret": "NAME"} until Resolve puts the value there, in memory and at the last
// moment.
package schema
