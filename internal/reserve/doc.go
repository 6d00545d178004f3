// Package reserve keeps room on a disk for the few small files that a node must
// still be able to write when the disk is full: positions, marks, session
// floors, the record of what was lost.
//
//	Do(f) ──> f ──ok──────────────────────────────────────────> done
//	          │ ^                                                 │
//	   no space │ again                                  refill, if it was cut
//	          v │                                                 │
//	      cut 1 MiB off the file  <── reserve (allocated) <───────┘
//
// The file is allocated, not only as long as it says. What was cut off is taken
// back as soon as nobody needs it any more, so that others who fill the disk
// have only a moment to take it: the reserve shrinks by little more than what is
// written with its help, and grows again when space returns.
//
// It must not know what is written, and must not be used for what grows without
// bound: a reserve that is used up helps nobody.
package reserve
