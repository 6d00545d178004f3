// Package config reads what an operator writes: a directory of HCL files that describes one site with all its nodes.
// It decodes the blocks of the core, resolves references, checks what can be checked without starting anything, and
// derives each node's half. It opens no socket, starts no plugin and decodes no plugin's body: `config {}` is kept as it
// stands for hcl/schema.
//
//	*.hcl, *.hcl.json
//	   │ sources.go   read (lexical order, modes, sizes), parse
//	   v
//	version.go        gateway.required_version of every file, before anything else can confuse
//	   v
//	locals.go         locals, in the order in which they need each other
//	   v
//	headers.go        block types, labels, names; the same object twice is an error, nothing is merged
//	   v
//	node.go diode.go receiver.go route.go exception.go     core attributes, references
//	   v
//	cross.go          what one block says against another: Load ends here
//	   v
//	check.go          what needs the plugins' traits: Check
//	view.go           what one node has to do: For
//
// Each phase reports all its problems and the next one starts only when there are none, so that one slip is not shown
// as twenty. A Problem has a place, the source line, and what to do about it.
//
// The tables in words*.go are the one place in which an attribute has its type, default and description: the decoder
// and docs/configuration.md are both made from them.
package config
