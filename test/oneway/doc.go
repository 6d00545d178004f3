// Package oneway tests the one-way link over real sockets in network
// namespaces: a sender, a receiver, and between them a wire that loses,
// doubles, delays and never passes anything back.
//
//	 near               wire               far
//	┌────────┐ frames ┌──────────────┐   ┌────────┐
//	│ Source ├───────>│ nft, shuffle ├──>│ Sink   │──> checked: each batch once,
//	│ send   │        │ no way back  │   │ recv   │    in order, or named in a gap
//	└────────┘        └──────────────┘   └────────┘
//
// It must not import any room but diode and test. Whole nodes with their
// spools, configuration and guard are tested in test/e2e.
package oneway
