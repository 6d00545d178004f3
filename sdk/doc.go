// Package sdk is the public contract between the gateway's core and its plugins, and the library that plugins are
// written with.
//
// A plugin is a process of its own: a receiver takes records in, a sink delivers them. Both implement one small
// interface (Receiver, Sink); the core talks to the very same interface, implemented by this package's gRPC client.
//
//	            core process                 │               plugin process
//	                                         │
//	Receiver ── client ══ gRPC (AutoMTLS) ═══╪═══ server ── Receiver (the author's)
//	   Describe, Validate, Configure, Drain  │                 │ Write(records)
//	   Run: ◄── batches, ──► acks, credit    │              Writer: batches of 64–256 KiB
//	                                         │
//	relay ═══ control socket (fd 3) ═════════╪═══ Network: Listener, Packets, Dial, DialPacket
//	   accepted connections, datagram feeds  │     looks like package net, holds no inet socket
//
// The package does not parse payloads, opens no inet socket and keeps no queue that is not bounded in bytes. It must
// not import any other room of the product.
package sdk
