// Package relay is the core's side of a plugin's network: it owns the inet sockets of one component, also while its
// plugin is started again, and relays bytes between them and the plugin's control socket.
//
//	         ┌─────────────────────────── Relay: sockets of one component ───────────────────────────┐
//	network  │                                                                                        │  plugin
//	 TCP ───►│ accept ─ allow_from, limits ─ wait for a plugin ─ hand over ═ socketpair ═ both ways  ═╪═► net.Conn
//	 UDP ───►│ recvmmsg ─ interface, allow_from ─ frames of up to 256 KiB ═══ feed ══════════════════╪═► PacketReader
//	 TCP ◄───│ dial, when `connect` allows it ═ socketpair ═ both ways ══════════════════════════════╪═► Dial
//	 UDP ◄───│ one send per datagram, its errno answered ◄══ requests ═══════════════════════════════╪═══ DialPacket
//	         │                                                                                        │
//	         └── Serve: one instance of the plugin at a time asks by its control socket ──────────────┘
//
// Backpressure: a plugin that does not read stops the relay of its connections and its feed, and the kernel buffers. A
// plugin that does not read its control socket is refused connections, which are counted. While no plugin is there,
// connections wait, within the limits, and datagrams stay in the kernel's buffer.
//
// Idle connections hold two goroutines and no buffer: one is taken from a pool only when there is something to read.
// Data is never spliced, because io.Copy's splice holds two pipes for each idle connection.
//
// The package must not open inet sockets itself (its Sockets do, after the guard has allowed it), read payloads, or do
// anything that the grants do not say: what a plugin asks for beyond them is refused, counted and logged.
package relay
