//go:build !linux

package recv

import "errors"

const wantBuffer = 64 << 20

// multiReader exists on Linux only; elsewhere every datagram is one Read.
type multiReader struct{}

func newMultiReader(PacketReader) *multiReader { return nil }

func (*multiReader) read(*chunk) error { return errors.ErrUnsupported }

func growBuffer(PacketReader) (int, error) { return 0, nil }
