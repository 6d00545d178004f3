// Package hostile is a plugin that attacks: whoever confines plugins is held against what it gets away with.
//
//	test ── config {attacks} ──► host ──► sandbox ──► Receiver ── tries each ──► one record with the outcome
//	  │                                                                              │
//	  ├── the same attacks in a process of their own, unconfined ──► outcomes ──── must differ
//	  └── Steady, another plugin of the same host, must go on answering
//
// An attack is one entry of a table: a name, what is tried, and what must come of it. Attacks that only ask the kernel
// for something run one after the other in one process; those that load the machine or end the process run alone.
//
// It must not be used outside tests, and must not be started by hand: unconfined some attacks work.
package hostile
