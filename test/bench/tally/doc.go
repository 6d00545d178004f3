// Package tally says what arrived: which of the numbered messages of a run stand in a file, each compared byte by byte
// with what was sent.
//
//	file, while it grows ─► Watch: when did it have n lines, when did it grow last
//	file, at the end     ─► Count: whole, distinct, twice, altered, unknown
//
// Two kinds of lines are known: the message itself, and an NDJSON object with the message in "payload".
package tally
