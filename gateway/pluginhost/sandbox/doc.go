// Package sandbox confines the process it is called in, layer by layer, before that process becomes a plugin.
//
//	host ── clone: new namespaces ──► shim                                          plugin
//	  │     (net mount pid ipc uts)    │                                              ▲
//	  └── Spec over a pipe ──────────► Apply: alive? ─► empty root ─► resource limits │
//	                                          │                            │          │
//	                       landlock ◄─ no new ┴─ no capabilities, ◄────────┘          │
//	                          │        privileges    no groups, another user          │
//	                          └─► system call filter ────────── execveat ─────────────┘
//
// The layers overlap on purpose: an inet socket is refused by the filter, and were it not, it would be a socket of an
// empty network namespace; a foreign file is not below the root, and were it, landlock would refuse it.
//
// The package must not start processes, know what a plugin is, or decide what may be left out: a Spec says so, and
// its caller answers for it. What Apply has done to a thread cannot be undone.
package sandbox
