package capture

import "sync/atomic"

// Stats counts since the ring was made. Every frame that reached the ring is
// in exactly one of Frames and the refusals.
type Stats struct {
	Frames    uint64 // frames whose datagrams were delivered; a merged burst counts once
	Datagrams uint64 // datagrams delivered
	Merged    uint64 // of the frames, those that the kernel had merged and that were cut again

	// Refused frames, by the first thing that was wrong.
	Malformed uint64 // not Ethernet, IP and UDP with headers that agree
	Fragments uint64 // IP fragments: the sender's MTU is larger than the path's
	Checksums uint64 // IP header or UDP checksum wrong
	Foreign   uint64 // another source, destination or port
	OtherHost uint64 // sent to the hardware address of another machine
	Cut       uint64 // not whole in the ring, or larger than the reader's buffer
	Drops     uint64 // never reached the ring, because it was full
}

// refusal is why a frame was not delivered.
type refusal uint8

const (
	accepted refusal = iota
	malformed
	fragment
	badChecksum
	foreign
	otherHost
	cut
	refusals // number of values
)

// String returns the word that the test vectors use.
func (r refusal) String() string {
	return [refusals]string{"accepted", "malformed", "fragment", "bad checksum", "foreign", "other host", "cut"}[r]
}

type counters struct {
	frames, datagrams, merged, drops atomic.Uint64
	refused                          [refusals]atomic.Uint64
}

func (c *counters) snapshot() Stats {
	return Stats{
		Frames: c.frames.Load(), Datagrams: c.datagrams.Load(), Merged: c.merged.Load(),
		Malformed: c.refused[malformed].Load(), Fragments: c.refused[fragment].Load(),
		Checksums: c.refused[badChecksum].Load(), Foreign: c.refused[foreign].Load(),
		OtherHost: c.refused[otherHost].Load(), Cut: c.refused[cut].Load(), Drops: c.drops.Load(),
	}
}
