// Package sheet is what the reports of all benchmarks have in common: what the machine is, figures of several runs as
// one, and tables between two marks of a document.
//
//	/proc ─► CPUModel, LoadAverage …   ─┐
//	runs  ─► SpreadOf ─► median (low–high) ─┴─► table ─► Replace: document, between its marks
//
// It measures nothing.
package sheet
