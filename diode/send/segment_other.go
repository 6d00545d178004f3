//go:build !linux

package send

import "errors"

// segmenter exists on Linux only; elsewhere every frame is one Write.
type segmenter struct{}

func newSegmenter(PacketWriter) *segmenter { return nil }

func (*segmenter) send([]byte, int) error { return errors.ErrUnsupported }

func segmentationRefused(err error) bool { return errors.Is(err, errors.ErrUnsupported) }

func forbidFragments(PacketWriter, bool) error { return nil }
