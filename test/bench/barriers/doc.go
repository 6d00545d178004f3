// Command barriers measures what the guard and the sandbox cost: the same work with them and without, alternately in
// one run.
//
//	 namespace "endpoint"            namespace "guarded"                        namespace "open"
//	┌─────────────────────┐  svc0  ┌───────────────────────────────┐   svc0  ┌──────────────────────────────┐
//	│ bench generate:     ├───────>│ sluice run, warden, mon0      │ or ────>│ barriers core: the same, no  │
//	│ TLS, then datagrams │        │ fenced, plugins in a sandbox  │         │ fence, plugins not confined  │
//	└─────────────────────┘        └──────────────┬────────────────┘         └──────────────┬───────────────┘
//	                                              └──> files ──> compared, counted <────────┘
//
//	the link alone: diode -fenced, which alternates runs with a fence at both ends and without
//	plugin starts:  a confining and an open host in turn, from Start to the first answer
//
// It is a program and no test. `make bench-guard` runs it as root; QUICK=1 makes it end within 45 seconds with a line
// `RESULT name=value …`, UPDATE=1 writes the tables into docs/performance.md.
//
// What it must not do: judge, or leave out a round. The host that does not confine is in this program alone: nothing
// in the product can be told to start plugins like that.
package main
