// Package diode names what the one-way link carries: opaque batches, each with
// its identity, and the gaps that the far side knows of.
//
// The link moves batches from a send node to a receive node over a wire on
// which nothing can ever come back:
//
//	batch ─> block ─> fec ─> interleave ─> seal ─> pace ─> UDP          (send)
//	                                                        │ one way
//	batch <─ order <─ decode <─ reblock <─ window <─ open <─ UDP        (recv)
//
// The rooms below it: frame (bytes and sealing), fec (Reed-Solomon), floor
// (what must survive a restart so that nothing can be replayed), send, recv,
// capture (datagrams from an interface without an address), ledger (what was
// declared missing and what became of it), report (what is missing, to be
// carried or typed to the near side), pairing (the keys of both ends), and
// linktest (a seeded lossy link in memory).
//
// The link must not know what is in a batch, where a batch comes from or where
// it is stored: it knows no record, no spool and no configuration file. The
// format in bytes stands in docs/formats/diode-frame.md.
package diode
