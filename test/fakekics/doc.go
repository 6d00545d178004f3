// Package fakekics stands in for a node of KICS for Networks in UDP mode, as
// far as that is publicly known: it receives datagrams and never answers.
// What it receives it records byte by byte, with source, order and time, so
// that a test can compare.
//
// It must not parse what it receives, and must never send anything.
//
//	closed port ──(open)──> socket ─> Datagram ─> Writer ─> file ─> Reader ─> test
//	ICMP refuses            kernel drops are counted: a fake that loses would
//	                        accuse the product
package fakekics
