// Package frame is the link's format in bytes: the header of a frame, its
// sealing, the announcement of a session, the heartbeat and the block stream.
//
//	┌────────── 48 bytes, authenticated ───────────┬── shard or heartbeat ──┬─ tag ─┐
//	│ magic version kind link key session counter … │       AES-256-GCM      │  16 B │
//	└──────────────────────────────────────────────┴────────────────────────┴───────┘
//	  nonce = IV XOR counter;  key and IV from the session's announcement
//
// Everything here is bytes in, values out: the package opens no socket, starts
// no goroutine and keeps no state beyond a replay window. It must not know
// what a batch holds. Decoders take any input and answer with an error; they
// never allocate more than the input's length.
//
// docs/formats/diode-frame.md draws the format; testdata holds vectors.
package frame
