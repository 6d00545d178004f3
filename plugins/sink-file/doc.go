// Package sinkfile is the sink that writes records to files, one JSON object per line.
//
//	Next ─► decode ─► skip what the file has ─► encode ─► group ─► write ─► fsync ─► Ack
//	                        ▲                               │         │
//	        tail of the files, read at the start            │         └ error: cut back to the last whole line, hold,
//	                                                        │           and try again: nothing is lost
//	                                                        └ all deliveries that have come meanwhile share one fsync
//
// A record is acknowledged when it is on disk: delivery is "written". A record that was written but not acknowledged
// when the process ended is found again by its id and not written twice.
//
// The package keeps no queue beyond one group, reads nothing of a payload, and never leaves half a line behind. It
// writes nothing but the files of its path.
package sinkfile
