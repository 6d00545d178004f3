// Package procs says what processes have used: CPU time and memory of a process and of everything it has started.
//
//	/proc/*/stat ─► who descends from the roots ─► CPU time (user + system) ─┐
//	/proc/PID/status ─► VmHWM ───────────────────────────────────────────────┴─► Usage
//
// It reads proc(5) and nothing else: no process is touched. Two samples, one before the load and one after it, leave
// out what starting has cost.
package procs
