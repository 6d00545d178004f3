// Command demo shows what the product promises, to somebody who has never seen it: a one-way link is cut for ten
// seconds, the far side names what it missed, a person types that on the near side, and nothing is missing in the end.
//
//	generator ──TCP──► sluice, plant ──UDP──► wire ──UDP──► sluice, dmz ──► records.ndjson ──► tally
//	                                           ✂
//
// It runs the quickstart's configuration with the programs of bin/, without root, in a directory of its own that is
// removed afterwards. The commands that it shows are the commands that it runs. Exit code 1: a message is missing or
// came twice, or it took too long.
package main
