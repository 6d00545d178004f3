// Package pluginhost finds plugins, starts them as processes of their own, watches them and starts them again.
//
//	Find ─► seal (copy into a memfd, sealed, hashed) ─► start ─► shim ─► plugin ─► Instance
//	                                                     │        │        │
//	            one thread starts all (parent death) ────┘        │        └─ gRPC with mutual TLS over a unix socket
//	            no_new_privs, own process group, umask, ──────────┘           in RuntimeDir; control socket on
//	            parent death signal, descriptors closed                       descriptor 3
//
//	Supervise:  starting ─► running ──(ended, three health calls missed, Run returned)──► backing-off ─► starting
//	                                                                         │
//	                           ten failures in ten minutes ──────────────────┴─► failed: one try every ten minutes
//
// A plugin is not trusted. What it prints is joined into lines, limited in length and rate and never parsed by
// go-plugin; every call to it has a deadline; killing it takes at most two seconds, however it hangs. It sees nothing
// of the core's environment, and what was hashed is what runs, because a sealed copy of the file is executed.
//
// Shim is the place of the sandbox: it runs in the new process between fork and the plugin's first instruction. In
// this form it takes away privileges, descriptors and the plugin's life after the core's. The sandbox proper
// (namespaces, empty root, resource limits, user, landlock, system call filter; see the security chapter of the
// operator's documentation) belongs between confine and execute in shim.go and nowhere else.
//
// The package must not open inet sockets, know what a plugin's records are, or name any plugin. It decides nothing
// about configuration: which component runs what is its caller's.
package pluginhost
