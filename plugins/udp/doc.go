// Package udp is the receiver of datagrams: syslog, or bytes that nobody reads on the way.
//
//	Packets ─► ReadBatch ─► record per datagram ─┬─► sdk.Writer, critical ─┬─► core
//	  ▲                                          └─► sdk.Writer, bulk ─────┤
//	  └────── waits while the core takes nothing ◄─────────────────────────┘
//
// Every datagram is one record, byte by byte, with its source, its interface and the time at which the core got it; an
// empty datagram is a record too. Order is kept within a class, so it is kept per source and class. The package never
// answers, opens no socket and drops nothing: what overflows meanwhile overflows in the core's socket, where it is
// counted.
package udp
