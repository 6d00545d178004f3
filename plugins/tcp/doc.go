// Package tcp is the receiver of syslog over TCP and TLS: RFC 5424 and RFC 3164 messages, framed by octet counting or
// by line feeds (RFC 6587, RFC 5425).
//
//	Listener ─► accept ─► one goroutine per connection:
//
//	   read ──► tls ──► framing ──► record (payload, kind, times) ─┬─► sdk.Writer, critical ─┬─► core
//	     ▲               │ bad frame: counted, logged in hex, closed └─► sdk.Writer, bulk ─────┤
//	     └──────────────────── waits while the core takes nothing ◄────────────────────────────┘
//
// A message is bytes: what the sender put into the frame is the payload, unchanged, whether or not it is good syslog.
// Only the time that a message carries is read from it, and its severity when `critical` asks for it. Order is kept per
// connection and class.
//
// The package answers nothing to endpoints: syslog has no acknowledgement. It opens no socket and keeps no queue of
// its own; how many connections there may be is the core's to limit.
package tcp
