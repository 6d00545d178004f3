// Package value reads single values out of HCL expressions: texts, numbers, lists, and the strings with units in which
// Sluice writes sizes, durations and rates. It knows types, units, limits and how to say what is wrong with a value; it
// knows no block, no attribute by name and no plugin.
//
//	hcl.Expression ──evaluate──> cty.Value ──type──> Go value ──limits──> caller
//	                    │                    │                   │
//	                    └────────────────────┴───────────────────┴──> hcl.Diagnostics: what is wrong, what to write instead
//
// Both halves of a configuration go through here, the core's blocks (hcl/config) and the plugins' bodies (hcl/schema),
// so that "5m" means the same everywhere and an operator reads the same sentence for the same slip.
package value
