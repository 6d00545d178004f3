// Package matrix shows on real interfaces what leaves and what arrives under
// which defence: the tables of docs/guard.md, row by row.
//
// It must not decide anything: the defences are those of gateway/guard and its
// warden, the network and the witness are those of test/netlab. It has tests
// only; `make guard-matrix` runs them and prints the table of what left.
//
//	 node                                  peer
//	┌──────────────────────────┐  veth   ┌───────────────────┐
//	│ svc0   mon0 <── defence ─┼─────────┤ eth0 <── witness  │
//	│ stimulus                 │         │ attacker          │
//	└──────────────────────────┘         └───────────────────┘
//
// A cell of the table is one stimulus under one defence in namespaces of its
// own. It ends with a positive control: frames sent past every drop, by
// AF_XDP, which the witness has to see.
//
// What the kernel lacks here (VLAN, ipvlan and bond interfaces, where they are
// not built in) is skipped with the reason.
package matrix
