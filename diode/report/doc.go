// Package report carries the names of missing batches from the far side of a
// link back to the near side, by hand: as a file, or as ranges that an operator
// types.
//
//	far side:   gaps ─> From ─> Write ─> file ──carried──> Read ─┐
//	                 └> FormatRanges ──read aloud, typed──> ParseRanges ─┴─> resend   :near side
//
// A file is authenticated with the pre-shared key of the link, and this is
// checked before anything in it is parsed. It names ranges and nothing else:
// it cannot ask for more than the near side has kept.
//
// It must not decide what is resent, and knows no ledger and no spool. The
// format stands in docs/formats/gap-report.md.
package report
