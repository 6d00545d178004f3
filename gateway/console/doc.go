// Package console is the window on a running node: the types of its status, served as JSON over HTTP on a unix socket
// that only the node's own user can open, and the text that people read.
//
//	gateway ── Status ──► Server (unix socket, 0600) ◄── Fetch ── sluice status ──► Text
//
// It shows and changes nothing, and it opens no inet socket.
package console
