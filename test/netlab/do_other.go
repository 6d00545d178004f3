//go:build !linux

package netlab

// Do returns why it cannot run f.
func (n *Namespace) Do(func() error) error { return Supported() }
