// Package send is the near end of the one-way link: it takes batches from one
// source per class and puts them on the wire as sealed, paced, repairable
// frames.
//
//	Source ─feed─> stream ─> block ─> fec ─> interleave ─┐
//	  ^              │ per class       └─ spread parity ─┤
//	  │ Sent         │                                   v
//	  └─ progress <──┴──────── flushed <── transmit <─ pace <─ seal
//	                                          │
//	     session: announcement, heartbeat ────┘  (tokens reserved, ahead of all classes)
//
// One goroutine owns everything from stream to transmit; one more per class
// only waits in Source.Next. What the kernel does not accept is held and
// retried, never counted as sent. The package must not open sockets, store
// batches, or know what is in one.
package send
