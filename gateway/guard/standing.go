package guard

import (
	"context"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// Fence is the privileged half of the guard as its unprivileged half sees it:
// drops before every interface that must stay silent, read back every second.
// It is set up from the same Policy in a process of its own (the warden), and
// goes on when this process is stopped or dead.
type Fence interface {
	// Standing returns what the last look found. It never blocks. While the
	// privileged half does not answer, Known is false.
	Standing() Standing
	// Changed yields after Standing may have changed; many changes may come
	// as one. It has one reader, the Guard.
	Changed() <-chan struct{}
}

// Opener opens for the unprivileged half what takes a privilege. The socket is
// bound, filtered and locked before it is passed on.
type Opener interface {
	// Packet opens the packet socket of DiodeCapture. It refuses an interface
	// whose role, as the privileged half sees it, is not DiodeRX.
	Packet(ctx context.Context, q PacketQuery) (*os.File, error)
	// Look opens a packet socket that sees the first bytes of each frame that
	// arrives at an interface, those for other machines included.
	Look(ctx context.Context, index int, name string) (*os.File, error)
	// ForceBuffer sets the receive buffer of a socket, in bytes, beyond
	// net.core.rmem_max (SO_RCVBUFFORCE, socket(7)).
	ForceBuffer(ctx context.Context, conn syscall.Conn, bytes int) error
}

// PacketQuery says which frames a packet socket lets in, see DiodeCapture.
type PacketQuery struct {
	Index  int            `json:"index"`
	Name   string         `json:"name"`
	Source netip.Addr     `json:"source,omitzero"` // zero = any
	Listen netip.AddrPort `json:"listen"`
}

// Standing is what stands between the guarded interfaces and the rest of the
// machine, as it was read back from the kernel.
type Standing struct {
	Known  bool      `json:"known"`
	Reason string    `json:"reason,omitempty"` // why it is not known
	At     time.Time `json:"at"`
	PID    int       `json:"pid,omitempty"` // of the warden
	// Barriers has one entry per guarded interface, by index.
	Barriers []Barrier `json:"barriers"`
	// Input is the drop before our ports on every other interface.
	Input Check `json:"input"`
	// Trips are latched: nothing is accepted until an operator resets them.
	Trips []Trip `json:"trips,omitempty"`
	// Restored are what somebody changed and the warden set right again, the
	// newest last, at most 32.
	Restored []Restored `json:"restored,omitempty"`
}

// Barrier is what keeps one interface silent.
type Barrier struct {
	Interface string  `json:"interface"`
	Index     int     `json:"index"`
	Role      Role    `json:"role"`
	Egress    []Check `json:"egress"`  // independent drops of what would leave: two
	Ingress   []Check `json:"ingress"` // drops of what arrives
	Quiet     []Check `json:"quiet"`   // settings that keep the kernel from wanting to talk
	// Sent counts the frames that the interface has sent since it was fenced,
	// by its own counter; on a sending diode, what the link sent as well.
	Sent uint64 `json:"sent"`
	// Dropped counts frames by the drop that took them, by its name in Egress
	// and Ingress.
	Dropped map[string]uint64 `json:"dropped,omitempty"`
}

// Check is one thing that was looked at.
type Check struct {
	Name string `json:"name"` // "nft egress", "tc egress", "arp"
	OK   bool   `json:"ok"`
	Text string `json:"text,omitempty"` // what is wrong with it
}

// Trip is why an interface was set down for good.
type Trip struct {
	At        time.Time `json:"at"`
	Interface string    `json:"interface"`
	Index     int       `json:"index"`
	Cause     string    `json:"cause"` // "sent 5 frames past both drops", "an XDP program was attached"
	Did       string    `json:"did"`   // "set down; receivers closed"
}

// Restored is one setting that was set right again.
type Restored struct {
	At        time.Time `json:"at"`
	Interface string    `json:"interface"`
	What      string    `json:"what"`
}

// Port is one port that receivers or links of this node listen on.
type Port struct {
	Network string `json:"network"` // "tcp" or "udp"
	Port    uint16 `json:"port"`
}

// ReceiveEnd is the far end of one one-way link, as far as the guard fences
// it: everything else that arrives at its interface is dropped.
type ReceiveEnd struct {
	Interface string         `json:"interface"`       // the rule that stands in Policy.DiodeRX
	Source    netip.Addr     `json:"source,omitzero"` // of the sender; zero = any
	Listen    netip.AddrPort `json:"listen"`
	Capture   bool           `json:"capture"` // frames are captured before the drops: everything is dropped
}
