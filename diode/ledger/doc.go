// Package ledger remembers, on the far side of a link, every range of batches
// that was ever declared missing, and what became of it.
//
//	declared ─┬─> filled (repeat | resend)      one batch at a time
//	          ├─> final (no longer retained …)  a range at a time
//	          └─> open                          still missing: resend can bring it
//
//	far spool ──gaps, late batches, evictions──> Declare, Fill, Evict
//	near side's heartbeat ──first retained────> Finish
//	                                               │
//	                            state in memory <──┴──> pending ─Sync─> log on disk ─> compaction
//
// For every class and reason, declared = filled + final + open holds at any
// moment, in batches and in weight. Memory is bounded by Options.MaxRanges, the
// log by Options.MaxBytes.
//
// The gaps and the late batches themselves stand in the far spool. Every event
// that comes from there carries a Mark, its place in that spool: after a crash
// the owner reads the far spool again from Marks on, and what the ledger knows
// already changes nothing.
//
// It must not decide when something is missing, and knows no spool and no
// socket. The format stands in docs/formats/gap-ledger.md.
package ledger
