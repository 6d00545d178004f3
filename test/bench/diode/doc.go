// Command diode measures the one-way link alone, between two network namespaces, beside udpcast and beside what the
// machine can do at all (raw datagrams with UDP_SEGMENT and UDP_GRO, iperf3), alternately in one run.
//
//	 near namespace                 third namespace                    far namespace
//	┌────────────────────────┐     ┌─────────────────────┐           ┌──────────────────────────┐
//	│ send <── stdin: tmpfs  ├────>│ loss, one way only  ├──────────>│ receive ──> stdout: tmpfs│
//	│ own process, wait4     │     │ gso, gro, tso off   │           │ own process, wait4       │
//	└───────────┬────────────┘     └─────────────────────┘           └──────────┬───────────────┘
//	            └──────────────── direct cable, for rows without loss ──────────┘
//
// Every contestant is a sender that reads its standard input and a receiver that writes its standard output, so that
// another program can take part by its two command lines. The output is compared by SHA-256. Loss is injected in a
// namespace of its own whose ports do not segment; before each row numbered datagrams show that it loses as many, in
// runs as long, as the row says.
//
// `make bench-diode` runs it as root; QUICK=1 makes it end within 45 seconds with a line `RESULT name=value …`, UPDATE=1
// writes the tables into docs/performance.md.
//
// What it must not do: judge. It prints what was lost, by whomever, and never leaves out a run.
package main
