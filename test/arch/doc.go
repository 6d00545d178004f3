// Package arch holds the rules that the source tree keeps: who may import
// whom, where third-party libraries may appear, one document per package, the
// size of files and functions, no hidden state, no leftovers. Its tests apply
// them to the whole tree, and to small trees that break each of them.
//
// It must not be imported by the product, and reads files only.
//
//	Read(root) ─> Tree ─> rule ─> problems, each "file:line: what; what to do"
//	               ^
//	table.go: the rules as data
package arch
