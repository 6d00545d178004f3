package frame

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrBody is wrapped by every complaint about the body of an announcement, a
// heartbeat, a test frame or the block stream.
var ErrBody = errors.New("frame: bad body")

const (
	macBytes = sha256.Size
	// AnnouncementBytes is the size of every announcement: header, suite, length,
	// encapsulation, HMAC. It fits the smallest MTU of IPv6 (RFC 8200, section 5).
	AnnouncementBytes = HeaderBytes + 2 + 2 + EncapsulationBytes + macBytes
)

// Announcement opens a session: it carries the encapsulation of the secret from
// which both ends derive the traffic key, and is authenticated by HMAC-SHA-256.
type Announcement struct {
	LinkID        uint32
	KeyID         uint32
	Session       uint64
	Suite         Suite
	Encapsulation [EncapsulationBytes]byte
}

// Append appends the whole datagram, authenticated under key, to b.
func (a *Announcement) Append(b []byte, key [32]byte) []byte {
	start := len(b)
	h := Header{Kind: KindAnnounce, LinkID: a.LinkID, KeyID: a.KeyID, Session: a.Session}
	b = append(b, make([]byte, HeaderBytes)...)
	h.Put(b[start:])
	b = binary.BigEndian.AppendUint16(b, uint16(a.Suite))
	b = binary.BigEndian.AppendUint16(b, EncapsulationBytes)
	b = append(b, a.Encapsulation[:]...)
	return append(b, announceMAC(b[start:], key)...)
}

// CheckAnnouncement says whether the datagram b is authentic under key. It
// costs about a microsecond and comes before anything is parsed.
func CheckAnnouncement(b []byte, key [32]byte) bool {
	if len(b) < HeaderBytes+macBytes || len(b) > MaxBytes {
		return false
	}
	cut := len(b) - macBytes
	return hmac.Equal(announceMAC(b[:cut], key), b[cut:])
}

// ParseAnnouncement reads the datagram b, which CheckAnnouncement has found
// authentic.
func ParseAnnouncement(b []byte) (Announcement, error) {
	var a Announcement
	var h Header
	if err := h.Parse(b); err != nil {
		return a, err
	}
	if h.Kind != KindAnnounce || len(b) != AnnouncementBytes {
		return a, fmt.Errorf("%w: announcement of %d bytes, expected %d", ErrBody, len(b), AnnouncementBytes)
	}
	a.LinkID, a.KeyID, a.Session = h.LinkID, h.KeyID, h.Session
	body := b[HeaderBytes:]
	a.Suite = Suite(binary.BigEndian.Uint16(body))
	size := binary.BigEndian.Uint16(body[2:])
	if a.Suite != SuiteHybrid || size != EncapsulationBytes {
		return a, fmt.Errorf("%w: suite %d with an encapsulation of %d bytes is not supported; upgrade the receive side", ErrBody, a.Suite, size)
	}
	copy(a.Encapsulation[:], body[4:])
	return a, nil
}

func announceMAC(b []byte, key [32]byte) []byte {
	mac := hmac.New(sha256.New, key[:])
	mac.Write(b)
	return mac.Sum(nil)
}
