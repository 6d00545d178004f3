// Package recv is the far end of the one-way link: it takes datagrams off one
// or several wires that carry the same and hands batches and gaps, in order per
// class, to one sink.
//
//	per path                                         shared
//	UDP ─> read ─(chunks)─> session ─> window ─> open ─> reblock ─> decode ─> parse ─┐
//	                            │                        per class                   │
//	                            ├─ heartbeat ─> epochs, sent-through ─> holes        v
//	                            └─ self-test ─> report               ┌──── order per class
//	Sink <── deliver <─(bytes bounded)─ queue <── batches, gaps ─────┘
//
// Goroutines: one per path reads, one does everything between chunk and queue,
// one stores floors, one calls the sink, which may block. With a receive buffer
// as large as wanted the reading goroutine works through small chunks itself,
// under the same lock; with a small one it only reads. A lost block costs the
// batches in it and nothing else: the hole is skipped and named. Whatever
// arrives, memory stays within Config.MemoryBytes.
//
// A class is a row of epochs, of which heartbeats say where they start and what
// came before; one of them is open at a time. A sender whose spool went back
// inside an epoch is noticed by its heartbeats: from then on nothing is taken
// for a duplicate that is not positively known.
//
// The package must not store batches, open sockets, or know what is in a batch;
// it never sends.
package recv
