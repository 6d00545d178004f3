// Package warden is the privileged process of the guard, and the way to it.
//
// It decides by the same rules as the core does (package guard), builds what
// must stand before each interface (package fence), reads it back every
// second and on every event, sets right what somebody changed, and trips when
// frames have left or could have left. It goes on when the core is stopped or
// dead, and what it built goes on when it is killed itself.
//
//	core ── Client ── unix socket ──> server ──> one loop ──> fence ──> kernel
//	  ^                                 │          ^  │
//	  └── Standing, once a second ──────┘          │  ├─> policy.json, latch.json
//	                                               │  └─> keeper: holds the table's
//	kernel ─ events ─> guard, as decider ──────────┘      socket, and nothing else
//
// One look of the loop:
//
//	audit ─> judge ─┬─ as it was                   ─> standing
//	                ├─ changed, one drop stood      ─> restore, warn, audit again
//	                └─ left, or could have left     ─> trip: interface down, ports
//	                                                  shut, latched until reset
//
// The protocol is a stream of messages in each direction over a unix socket
// (unix(7)), each
//
//	┌──────────────────────────┬──────────────────────────────┐
//	│ length of JSON, 4 bytes  │ JSON, at most 1 MiB          │
//	│ big endian               │ {"id":1,"verb":"order",…}    │
//	└──────────────────────────┴──────────────────────────────┘
//
// A stream, not SOCK_SEQPACKET: the latter bounds a message by the sender's
// net.core.wmem_max, which an unprivileged sender cannot raise. A request has
// an id, its answer has the same; what comes without one is a Standing. At
// most one descriptor travels with a message, by the bytes of its length.
//
// With Policy.Isolate the declared monitoring points live in a network
// namespace of their own, which one thread of the warden works in:
//
//	fenced here ─> down ─> moved ─> fenced there while down ─> up
//
// It holds CAP_NET_ADMIN and CAP_BPF; CAP_NET_RAW, and CAP_SYS_ADMIN when it
// may isolate, are raised on one thread for the moment that needs them.
//
// The core's user may order what guards the same or more; what guards less, a
// release and a reset are root's (SO_PEERCRED), because the core parses what
// comes from networks and may be taken over:
//
//	order ─> weaker than the policy in force? ─┬─ no          ─> enforced
//	          by its words, and by what would  ├─ yes, root   ─> enforced, warned
//	          stand before interfaces here     └─ yes, others ─> WeakerError
//
// It must not carry records, listen on the network, or do for a client what
// the policy does not say. Every order is written to the log with who gave it.
package warden
