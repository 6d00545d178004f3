// Package stage lets a program use test/netlab, which is made for tests.
//
//	program ─► Run ─► f(testing.TB) ─► namespaces, cables … ─► cleaned up, last first, however f ends
//
// It measures nothing.
package stage
