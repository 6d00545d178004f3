// Package capture takes the datagrams of a one-way link off an interface that
// has no IP address: it reads whole frames from the kernel's ring
// (TPACKET_V3, packet(7)), checks them, and hands on what is in them.
//
//	packet socket, bound and filtered by whoever opened it
//	      │
//	      v
//	ring of blocks ─> block ─> frame ─> decode ─> segments ─> ReadBurst
//	(shared memory)     │        │        │          │
//	                    │        │        │          └ a burst that the kernel merged
//	                    │        │        │            is cut into its datagrams again
//	                    │        │        └ Ethernet, 802.1Q, IPv4 or IPv6, UDP:
//	                    │        │          headers, addresses, port, checksum
//	                    │        └ cut short, or for another machine: counted
//	                    └ handed back to the kernel when all of it was read
//
// It must not send, open sockets, choose an interface, put fragments together,
// or look into a datagram. Whatever arrives is delivered or counted.
package capture
