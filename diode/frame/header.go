package frame

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// From the format, docs/formats/diode-frame.md.
const (
	Version     = 1
	HeaderBytes = 48                     // bytes; all of it is additional authenticated data
	TagBytes    = 16                     // bytes; GCM tag, NIST SP 800-38D
	Overhead    = HeaderBytes + TagBytes // bytes in a frame that are not shard
	MaxBytes    = 65507                  // bytes; largest UDP payload over IPv4, RFC 768
	ShardUnit   = 64                     // bytes; shards are multiples of it (Leopard, CPU cache line)
	NoStart     = 0xFFFF                 // Header.Start of a shard in which no batch begins

	// minShard is the least size of a full shard, so that the largest
	// heartbeat (diode.MaxClasses classes, MaxHealthBytes) fits a frame.
	minShard = 1088

	magic0 = 'S'
	magic1 = 'D'
)

// Kind says what a frame carries.
type Kind uint8

// The kinds of frames.
const (
	KindShard     Kind = 1
	KindHeartbeat Kind = 2
	KindAnnounce  Kind = 3
	KindTest      Kind = 4 // numbered pattern of a self-test; carries no data
)

// Code says which Reed-Solomon code a block uses. CodeOpen stands in data
// shards that left before their block was closed: its shape was not known yet.
type Code uint8

// The codes of a block.
const (
	CodeOpen    Code = 0
	CodeClassic Code = 1
	CodeLeopard Code = 2
)

// FlagSpread marks a block whose parity is spread over the 50 ms after it: a
// receiver must not give it up earlier.
const FlagSpread = 1

// Header is the fixed header of a frame.
type Header struct {
	Kind    Kind
	LinkID  uint32
	KeyID   uint32
	Session uint64
	Counter uint64 // wire order within the session, from 0
	Block   uint64 // number of the block within session and class, from 0
	Class   uint8
	Code    Code
	Flags   uint8
	Index   uint8 // shard: 0…K-1 data, K…K+M-1 parity
	K, M    uint8 // shape; 0, 0 with CodeOpen
	Shard   uint16
	Start   uint16 // data shards: offset of the first batch header that begins in it, or NoStart
}

// What is wrong with a datagram that is not a frame of this version.
var (
	ErrShort   = errors.New("frame: shorter than its header says")
	ErrMagic   = errors.New("frame: not a frame of this product")
	ErrVersion = errors.New("frame: version not supported")
	ErrHeader  = errors.New("frame: header contradicts itself")
)

// Put writes the header into the first HeaderBytes of b.
func (h *Header) Put(b []byte) {
	_ = b[HeaderBytes-1]
	b[0], b[1], b[2], b[3] = magic0, magic1, Version, byte(h.Kind)
	binary.BigEndian.PutUint32(b[4:], h.LinkID)
	binary.BigEndian.PutUint32(b[8:], h.KeyID)
	binary.BigEndian.PutUint64(b[12:], h.Session)
	binary.BigEndian.PutUint64(b[20:], h.Counter)
	binary.BigEndian.PutUint64(b[28:], h.Block)
	b[36], b[37], b[38], b[39] = h.Class, byte(h.Code), h.Flags, h.Index
	b[40], b[41] = h.K, h.M
	binary.BigEndian.PutUint16(b[42:], h.Shard)
	binary.BigEndian.PutUint16(b[44:], h.Start)
	b[46], b[47] = 0, 0
}

// Parse reads and checks the header of the datagram b. It does not
// authenticate anything. It does not allocate.
func (h *Header) Parse(b []byte) error {
	if len(b) < HeaderBytes+TagBytes {
		return ErrShort
	}
	if b[0] != magic0 || b[1] != magic1 {
		return ErrMagic
	}
	if b[2] != Version {
		return ErrVersion
	}
	h.Kind = Kind(b[3])
	h.LinkID = binary.BigEndian.Uint32(b[4:])
	h.KeyID = binary.BigEndian.Uint32(b[8:])
	h.Session = binary.BigEndian.Uint64(b[12:])
	h.Counter = binary.BigEndian.Uint64(b[20:])
	h.Block = binary.BigEndian.Uint64(b[28:])
	h.Class, h.Code, h.Flags, h.Index = b[36], Code(b[37]), b[38], b[39]
	h.K, h.M = b[40], b[41]
	h.Shard = binary.BigEndian.Uint16(b[42:])
	h.Start = binary.BigEndian.Uint16(b[44:])
	if b[46] != 0 || b[47] != 0 {
		return ErrHeader
	}
	return h.check(len(b))
}

func (h *Header) check(size int) error {
	switch h.Kind {
	case KindHeartbeat, KindAnnounce, KindTest:
		return nil
	case KindShard:
		return h.checkShard(size)
	default:
		return ErrHeader
	}
}

func (h *Header) checkShard(size int) error {
	if h.Shard == 0 || h.Shard%ShardUnit != 0 || size != Overhead+int(h.Shard) {
		return ErrHeader
	}
	if h.Start != NoStart && h.Start >= h.Shard {
		return ErrHeader
	}
	switch h.Code {
	case CodeOpen:
		if h.K != 0 || h.M != 0 {
			return ErrHeader
		}
	case CodeClassic, CodeLeopard:
		total := int(h.K) + int(h.M)
		if h.K == 0 || h.M == 0 || total > 256 || int(h.Index) >= total {
			return ErrHeader
		}
	default:
		return ErrHeader
	}
	return nil
}

// ShardBytes is the largest shard that fits a datagram on a wire with this MTU
// in bytes without IP fragmentation: 1408 at 1500 over IPv4, 1344 over IPv6,
// 8896 at 9000.
func ShardBytes(mtu int, ipv6 bool) (int, error) {
	ip := 20 // RFC 791, no options
	if ipv6 {
		ip = 40 // RFC 8200, no extension headers
	}
	shard := (min(mtu-ip-8, MaxBytes) - Overhead) / ShardUnit * ShardUnit
	if shard < minShard {
		return 0, fmt.Errorf("frame: mtu %d leaves no room for a shard of %d bytes; 1280 always does", mtu, minShard)
	}
	return min(shard, 0xFFC0), nil
}
