// Package control is the border over which the core gives a plugin its network: messages with descriptors on a
// SOCK_SEQPACKET socket (descriptor 3 of the plugin), and the frames in which datagrams travel over socketpairs.
//
//	core                                          plugin
//	 ├─ control socket ── Connection + stream fd ──► net.Listener.Accept
//	 │                 ── Feed + stream fd ────────► PacketReader
//	 │                 ◄─ Listen, Dial ───────────── Listener(), Dial()
//	 │                 ── Result [+ fd] ───────────►
//	 ├─ feed:   frames of datagrams, core → plugin   (frame.go)
//	 └─ sender: requests of datagrams, plugin → core, each answered with count and errno (send.go)
//
// It opens no inet socket and decides nothing: what is allowed is the core's to say.
package control
