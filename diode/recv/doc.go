// Package recv is the far end of the one-way link: it takes datagrams off the
// wire and hands batches and gaps, in order per class, to one sink.
//
//	UDP ─> read ─(chunks)─> session ─> window ─> open ─> reblock ─> decode ─> parse ─┐
//	       only reads           │                        per class                   │
//	                            └─ heartbeat ─> sent-through ─> holes                v
//	Sink <── deliver <─(bytes bounded)─ queue <──────────────── gaps ──────────── order
//
// Three goroutines: one only reads, one does everything between chunk and
// queue, one calls the sink, which may block. A lost block costs the batches
// in it and nothing else: the hole is skipped and named. Whatever arrives,
// memory stays within Config.MemoryBytes. The package must not store batches,
// open sockets, or know what is in a batch; it never sends.
package recv
