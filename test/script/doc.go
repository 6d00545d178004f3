// Package script holds the tests of the command line as scripts, and of configurations with the plugins that ship.
//
//	testdata/script/*.txtar ─► files and commands ─► sluice (built once) ─► output compared as text, exit codes
//	table of protocols      ─► gateway.Check with plugin processes       ─► what an operator is told
//
// Nothing here runs a node for long: that is test/e2e. Golden output is written again by `go test ./test/script -update`.
package script
