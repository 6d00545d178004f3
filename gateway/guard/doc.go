// Package guard decides which network interface may carry what, and opens
// every inet socket of the product accordingly.
//
// It takes a desired state (Policy), reads the machine's interfaces through
// netlink, decides a role for each, follows changes, and hands out sockets
// that are bound to the index of an interface whose role allows them. What it
// cannot verify it does not open.
//
// It must not: decide anything about records, read or write payload, know the
// configuration language, or import another room. It installs no drop rules:
// its own barrier is the socket bound to an interface index. The drops stand in
// package fence, in a process of its own that runs the same decisions
// (Options.DecideOnly); sockets are open here only while those drops stand.
//
//	Policy ──┐
//	         v
//	kernel ─> list ─> decide ─> verdicts ─┬─> OnDecide ─ ─ ─ ─ ─> the fence
//	  ^        ^        ^                 ├─> Snapshot             (status)
//	  │        │        │                 v
//	  │        │        │   Standing ─> gate ─┬─> Listeners: open, close, reset
//	  │        │        │   (what stands)     └─> dialled sockets: closed when
//	  │        │        │                         their interface loses its role
//	  │        │        └── memory (what was accepted, what was a monitoring
//	  │        │            point) and mirror checks
//	  └─ events: only mark "dirty"; channel closed = state unknown:
//	     nothing new is accepted, subscribe again first, then list and compare
//
// The gate:
//
//	open ──events lost, fence not whole or not heard──> held: nothing new is
//	  ^ ^                                               accepted or opened
//	  │ └──────────────all is known and whole───────────┤
//	  │                                                 v after 3 s
//	  └─────────────────all is known and whole──── shut: everything is closed
//	                                                    ^ at once, until it is reset
//	                                    a trip ─────────┘
//
// On a one-way link nobody answers, so the guard also keeps the hardware
// address of the far end, says whether the link can send, and examines an end:
//
//	verdicts, every second ─> tend ─> permanent neighbour entry
//	                           └────> DiodeReady: up, carrier, MTU, neighbour
//	DiodeFacts: interface, offloads, sysctls, drops, a short look at the frames
//
// Roles of an interface:
//
//	monitoring  listens to mirrored traffic; nothing of ours is opened on it
//	diode-tx    only DiodeSend
//	diode-rx    only DiodeReceive, or DiodeCapture where it has no address
//	service     receivers listen here, sinks dial through here; new or doubtful
//	            ones (a mirror port?) are closed until somebody accepts them
//	closed      everything else
package guard
