// Package auditlog keeps the record of who did what to a node: one line of JSON per entry, each with the hash of the
// line before, in files that are only ever appended to.
//
//	Append ──► line n: {… "prev": hash of line n−1, "hash": …} ──► fdatasync ──► Head{Seq, Hash} ──► heartbeats
//
//	audit-00000000000000000001.jsonl   audit-00000000000000048213.jsonl     audit-….torn
//	┌────────┬────────┬─   ─┬────────┐ ┌────────┬─   ─┬────────┬ ─ ─ ┐ ───► what a crash left at the end:
//	│ line 1 │ line 2 │  …  │ 48212  │◄┤ 48213  │  …  │ line n │      set aside, and an entry says so
//	└────────┴────────┴─   ─┴────────┘ └────────┴─   ─┴────────┴ ─ ─ ┘
//
// The chain alone shows that a line was altered, removed or moved. Whoever may write the files can make a whole new
// chain or cut the end: that shows only against a head that was kept elsewhere, which is what heartbeats carry it for.
//
// It must not decide what is recorded, delete anything, or know any other room. The format in bytes stands in
// docs/formats/audit-log.md.
package auditlog
