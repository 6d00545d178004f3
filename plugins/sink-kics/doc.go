// Package sinkkics is the sink that hands datagrams to KICS for Networks. Its one mode, telemetry, sends opaque
// datagrams on to a node in UDP mode as the endpoints sent them: byte by byte, datagram by datagram, in the order of
// delivery, which is the order of each source.
//
//	Next ─► decode ─► window ─► token bucket ─► Send ─► settle ─► confirmed ─► Ack
//	                    ▲                        │        │
//	                    │                     error      error (an ICMP answer comes later than the send)
//	                    └── back to the first unconfirmed ◄┘
//	                              │
//	                            hold ── once a second: send the first one ── three in a row without error ──► go on
//
// UDP has no answer: delivery is "sent". Silence is taken for success, an error for the loss of everything that is not
// confirmed, which is sent again. So datagrams can arrive twice after an error, and none is left out.
//
// The package does not read payloads, invents no datagrams and knows no format of the vendor.
package sinkkics
