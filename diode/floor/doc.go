// Package floor keeps the few numbers of a link that must survive a restart so
// that no session is opened twice and none can be replayed: on the send side
// the last session number, on the receive side the newest session accepted and
// how far its frame counter had come.
//
//	Store ─> temporary file ─> fsync ─> rename ─> fsync of the directory
//	              ^                                        │
//	              └── again, with room made, <── disk full ┘
//	                  if Open was given WithRoom
//
// It must not decide anything about sessions; send and recv do.
package floor
