//go:build !linux

package netlab

// Inject returns why it cannot send.
func (n *Namespace) Inject(string, bool, ...[]byte) (int, error) { return 0, Supported() }

// TransmitXDP returns why it cannot send.
func (n *Namespace) TransmitXDP(string, ...[]byte) error { return Supported() }
