// Package lines is an example of a receiver: lines of text over TCP, each answered with "ok" once it is durable.
//
//	client ── "text\n" ──► serve ── Write(record) ──► Writer ══► core ══► spool
//	       ◄── "ok\n" ──── answer ◄──── Ticket ─────────────── acknowledged
//
// It shows the one rule that every receiver must keep: the answer leaves after the core's acknowledgement, never
// before. It is no product: it has no TLS and one limit.
package lines
