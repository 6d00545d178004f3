// Command bench measures the whole way of a record beside a yardstick, alternately in one run, and says so in a table.
//
//	bench generate ──TLS or UDP──► sluice --node near ──diode──► sluice --node far ──► file ─┐
//	   own process          └────► rsyslogd ───────────────────────────────────────► file ─┴─► lines compared
//	                                   ▲ CPU time, memory: /proc of every process of a side
//
// It is a program and no test: figures depend on the machine and are read by people. It starts everything itself in a
// temporary directory on loopback addresses and leaves nothing behind. `make bench` runs it; QUICK=1 makes it end within
// 45 seconds with a line `RESULT name=value …`, UPDATE=1 writes the table into docs/performance.md.
//
// What it must not do: judge. It prints what was lost, on either side, and never leaves out a round.
package main
