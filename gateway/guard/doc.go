// Package guard decides which network interface may carry what, and opens
// every inet socket of the product accordingly.
//
// It takes a desired state (Policy), reads the machine's interfaces through
// netlink, decides a role for each, follows changes, and hands out sockets
// that are bound to the index of an interface whose role allows them. What it
// cannot verify it does not open.
//
// It must not: decide anything about records, read or write payload, know the
// configuration language, or import another room. In this form it installs no
// drop rules: the barrier is the socket bound to an interface index.
//
//	Policy ──┐
//	         v
//	kernel ─> list ─> decide ─> verdicts ─┬─> Snapshot            (status)
//	  ^        ^        ^                 ├─> Listeners: open, close, reset
//	  │        │        └── memory        └─> dialled sockets: closed when
//	  │        │            (what was         their interface loses its role
//	  │        │             seen at start)
//	  └─ events: only mark "dirty"; channel closed = state unknown:
//	     nothing new is accepted, subscribe again first, then list and compare
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
//	service     receivers listen here, sinks dial through here
//	closed      everything else
package guard
