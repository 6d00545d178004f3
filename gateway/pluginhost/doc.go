// Package pluginhost finds plugins, starts them as processes of their own, watches them and starts them again.
//
//	Find ─► seal (copy into a memfd, sealed, hashed) ─► start ─► shim ─► plugin ─► Instance
//	                                                     │        │        │
//	            one thread starts all (parent death),    │        │        └─ gRPC with mutual TLS over a unix socket
//	            in new namespaces, into a control group ─┘        │           in a place of its own; control socket on
//	                                                              │           descriptor 3
//	            orders ─► package sandbox: empty root, limits, ───┘
//	            another user, no privileges, landlock, system call filter
//
//	Supervise:  starting ─► running ──(ended, three health calls missed, Run returned)──► backing-off ─► starting
//	                                                                         │
//	                           ten failures in ten minutes ──────────────────┴─► failed: one try every ten minutes
//
// A plugin is not trusted. What it prints is joined into lines, limited in length and rate and never parsed by
// go-plugin; every call to it has a deadline; killing it takes at most two seconds, however it hangs. It sees nothing
// of the core's environment, and what was hashed is what runs, because a sealed copy of the file is executed.
//
// What this machine has for a sandbox is found out by trying, in a process that lives only for it:
//
//	try ─► all layers hold ─► start
//	 ▲          │
//	 └─ without the one that failed: named in Layers and State.Missing
//	            ├─ system call filter, no privileges, resource limits: no plugin starts
//	            ├─ namespaces, empty root, landlock: none starts, but for those that Sandbox.Exempt covers
//	            └─ control group limits: all start
//
// Of the host's files a plugin sees what its Grants name, and, when it is linked with libraries of the system, those.
//
// The package must not open inet sockets, know what a plugin's records are, or name any plugin. It decides nothing
// about configuration: which component runs what, and what it is granted, is its caller's.
package pluginhost
