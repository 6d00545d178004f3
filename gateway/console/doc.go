// Package console is the window on a running node: the types of its status, served as JSON over HTTP on a unix socket
// that only the node's own user can open, and the text that people read.
//
//	gateway ── Status ──► Server (unix socket, 0600) ◄── Fetch ── sluice status ──► Text
//	        ◄─ methods ──        who asks: SO_PEERCRED            sluice guard, interfaces, diode …
//
// It decides nothing: whatever changes something is a method of the node, which is told who asks. It opens no inet
// socket and knows no other room's types.
package console
