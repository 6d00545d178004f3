// Package cgroup bounds what a process uses up: memory, number of processes and threads, processor time.
//
//	/proc/self/cgroup, mountinfo ─► Find ─► Parent ── New(limits) ─► Group ── Add(pid)
//	                                 │                                 │
//	            version 2: one place │ <place>/sluice-<pid>/<name>     └─ Kill, Close
//	            version 1: a place per controller
//
// Both versions of control groups stand behind the same types. A controller that is not there or not ours is named in
// Parent.Missing and is no error: limits bound what a process uses up, not what it can reach.
//
// The package must not move any process but those it is told to (and, in a group that was delegated to this very
// process alone, this process, into a group below: version 2 does not let a group have both processes and limits for
// its children), and it must not change any group that it has not made.
package cgroup
