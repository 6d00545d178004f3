package guard

import "fmt"

// barrier is how a socket is tied to its interface.
type barrier uint8

const (
	// byIndex is SO_BINDTOIFINDEX (socket(7); Linux 5.0): the kernel compares
	// the index of the interface that a packet came in by.
	byIndex barrier = iota
	// byDevice is SO_BINDTODEVICE (socket(7)): the same, by name.
	byDevice
	// byAddress binds to each address of the interface. It is degraded: with
	// the weak host model a packet to that address is taken from any
	// interface.
	byAddress
)

// String returns the word that status shows.
func (b barrier) String() string {
	switch b {
	case byIndex:
		return "interface index"
	case byDevice:
		return "interface name"
	case byAddress:
		return "address (degraded)"
	default:
		return fmt.Sprintf("barrier(%d)", uint8(b))
	}
}
