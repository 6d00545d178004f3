// Package spool is the durable queue between receivers and consumers: a log of
// opaque entries in segment files, with one cursor per consumer.
//
//	Append ──> queue ──> writer ──> segment files ──> Cursor.Next ──> consumer
//	           (bytes    (group     00…01.seg              │             │
//	            bounded)  commit)   00…4711.seg            │          Cursor.Ack
//	              ^          │           ^                 v             v
//	              └── done <─┘           └── keeper <── damage      NAME.cursor
//	                 (fdatasync)             (mark, cursors, deletion)
//
// What it promises:
//
//   - An entry is acknowledged (Append returns, done is called without an
//     error) only after fdatasync. Everything waiting is committed together:
//     one write, one fdatasync.
//   - An acknowledged entry is read back byte for byte, or its loss is counted
//     by sequence number. Checksums are verified at every read. Damage never
//     keeps the log from opening; the damaged bytes go to a side file.
//   - Sequence numbers start at 1 and are never given twice within an epoch,
//     also not by an empty log.
//   - A full disk and I/O errors are states that end by themselves (Stats.State),
//     not failures of the process.
//
// What it must not do: look into entries, know batches, records, links or
// plugins, or touch the network.
//
// # Full
//
// MaxBytes bounds one log, a Budget several together. Whatever is short, the
// steps are the same, and each is taken only when those before it gave nothing:
//
//	own sent and kept ──> others' sent and kept ──> policy: wait
//	                      (with a Budget)                   drop what is new
//	                                                        name, then drop the oldest
//
// Under DropOldest the owner is told of each entry that somebody has not
// acknowledged (Options.Evict) before the segment is deleted. Its record must be
// durable when the call returns: a crash after it repeats the call, a crash
// before it leaves the segment. A loss that cannot be recorded does not happen;
// then the log is full. What the disk will not give is tried again a few
// times and then named as unreadable.
//
// Positions are small, and the disk that is full is often theirs too: Options.Room
// makes room for them.
//
// # The mark and the epoch
//
// The file "mark" holds the epoch and a position that was durable when the mark
// was written: it is written after the fdatasync of the entries that it names,
// at every roll to a new segment, otherwise at most once a second, and exactly
// at Close. Between two marks the segments only grow, so a crash always leaves a
// log that is at least as long as its mark; a log that is shorter has lost
// acknowledged entries, and only then is it called short. The mark cannot show
// the loss of entries that are younger than itself, nor that mark and segments
// were rolled back together (a restored backup of the whole folder): the far
// side of a link sees the latter, because a known sequence then carries another
// running sum.
//
// The epoch is 128 random bits. A new one is drawn when the log is created,
// when it is shorter than its mark or than a cursor, when the mark is lost, and
// when the newest segment ends in bytes that can be neither read nor explained
// by a write that a crash cut short. A cut write is no reason: a record that was
// not written whole was never acknowledged.
//
// # Loss is never understated
//
// Where it cannot be told whether an unreadable record had been acknowledged
// (power failed during its commit, or a bit flipped after it), it is counted as
// lost. An error from Append means "not promised", not "not there": after a
// crash the entry may be read back. Weights are summed without a check for
// overflow of 64 bits.
package spool
