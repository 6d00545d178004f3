// Package zlog makes the log of a process: zerolog underneath, log/slog above, so that rooms depend on the standard
// library alone.
//
//	rooms ── *slog.Logger ──► zerolog ──┬─► JSON lines (a file, a collector)
//	                                    └─► coloured text (a terminal)
//
// It writes; it keeps, filters and ships nothing.
package zlog
