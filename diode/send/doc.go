// Package send is the near end of the one-way link: it takes batches from one
// source per class and puts them on the wire as sealed, paced, repairable
// frames.
//
//	Source ─feed──> stream ─> block ─> fec ─> interleave ─┐
//	  ^     read ─>   │ per class       └─ spread parity ─┤
//	  │               │                                   v
//	  │ Sent          │            self-test ─> output, in turns ─> seal ─┐
//	  └─ progress <───┴───────── flushed <── transmit <─ pace <───────────┘
//	                                            │
//	       session: announcement, heartbeat ────┘  (tokens reserved, ahead of all classes)
//
// Copies (repeats, what an error set back, what an operator asked for) are read
// again and take the same way. One goroutine owns everything from stream to
// transmit; two more per class only wait in Source.Next and Source.Read, one
// opens sessions. What the kernel does not accept is held and sent again, never
// counted as sent. The package must not open sockets, store batches, or know
// what is in one.
package send
