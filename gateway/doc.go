// Package gateway is the core of a node: it joins receivers, spools, links and sinks, and owns their lifecycle.
//
//	             pluginhost + relay                                                 pluginhost + relay
//	receiver ──► intake ──► origin "local" or "via …" ──┬── feed (cursor per sink) ──────────► sink
//	 plugin        ▲         spool per class            └── source (cursor per link) ─► diode/send ─► one way
//	               └─ ack after fdatasync
//
//	one way ─► diode/recv ──► far ──► origin "from LINK" ──── feed (cursor per sink) ──────────► sink
//	one way ─►  (a group)      │             │ given up
//	                           └─► books ◄───┘   gap ledger: what is missing, and what became of it
//
// A batch's bytes are written once by the receiver plugin. The core reads the batch header only, prefixes a spool
// envelope (envelope.go) and never decodes records, except a single one that a sink rejected, for the dead-letter log.
//
// What an operator asks for, and what changes by itself, goes into the node's audit log (audit.go); its head travels in
// heartbeats, so that the far side notices a log that was cut (nearlog.go). Interfaces that must stay silent are kept so
// by the guard's warden, another process: openGuard waits for it before anything is opened.
//
// The core names no plugin: it knows them by kind, name, schema and traits. Only gateway/guard speaks to the kernel
// about interfaces, only gateway/relay holds inet sockets, only gateway/pluginhost starts processes, and only
// gateway/spool writes the queue.
//
// Lifecycle: Run starts spools, guard, links, sinks and receivers in this order and stops them in the opposite one:
// sources first, queues last.
package gateway
