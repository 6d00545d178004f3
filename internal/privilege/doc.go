// Package privilege reads, drops and raises the capabilities of processes
// (capabilities(7)).
//
// Capabilities belong to threads, and a Go program has threads that nobody
// can reach. So a process that wants to be rid of its privileges whole does
// not talk to its threads: it reduces one of them and lets that one execute
// the program anew. The kernel ends all others.
//
//	process with everything            the same process, by its id
//	┌───────────────────────┐          ┌──────────────────────┐
//	│ thread ─ reduce ─ execve ──────> │ every thread: keep   │
//	│ thread      x         │          │ bounding set: keep   │
//	│ thread      x         │          │ root is nobody       │
//	└───────────────────────┘          └──────────────────────┘
//
// It must not decide who keeps what.
package privilege
