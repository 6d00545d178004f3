// Package cable runs the two nodes of the quickstart as two machines would be: a process, a directory and a key file
// each, and between them a cable that can be cut.
//
//	Site ─┬─ Plant: sluice run ──UDP──► Wire ──UDP──► sluice run :DMZ
//	      │                              ✂
//	      └─ New: configuration, keys (sluice diode pair); Start, Stop
//
// Everything happens on the loopback interface with ports that were free, without root. It must not judge what the nodes
// do: demo and tests do.
package cable
