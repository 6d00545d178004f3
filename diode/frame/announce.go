package frame

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

const (
	macBytes      = sha256.Size
	announceFixed = 2 + 2 // suite, length of the secret
)

// Announcement opens a session: it carries the secret from which both ends
// derive the traffic key, and is authenticated by HMAC-SHA-256.
type Announcement struct {
	LinkID  uint32
	KeyID   uint32
	Session uint64
	Suite   Suite
	Secret  [SecretBytes]byte
	Origin  Origin
}

// Append appends the whole datagram, authenticated under key, to b.
func (a *Announcement) Append(b []byte, key [32]byte) []byte {
	start := len(b)
	h := Header{Kind: KindAnnounce, LinkID: a.LinkID, KeyID: a.KeyID, Session: a.Session}
	b = append(b, make([]byte, HeaderBytes)...)
	h.Put(b[start:])
	b = binary.BigEndian.AppendUint16(b, uint16(a.Suite))
	b = binary.BigEndian.AppendUint16(b, SecretBytes)
	b = append(b, a.Secret[:]...)
	b = a.Origin.Append(b)
	return append(b, announceMAC(b[start:], key)...)
}

// CheckAnnouncement says whether the datagram b is authentic under key. It
// costs about a microsecond and comes before anything is parsed.
func CheckAnnouncement(b []byte, key [32]byte) bool {
	if len(b) < HeaderBytes+announceFixed+macBytes || len(b) > MaxBytes {
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
	if h.Kind != KindAnnounce || len(b) < HeaderBytes+announceFixed+SecretBytes+macBytes {
		return a, fmt.Errorf("%w: announcement of %d bytes", ErrBody, len(b))
	}
	a.LinkID, a.KeyID, a.Session = h.LinkID, h.KeyID, h.Session
	body := b[HeaderBytes : len(b)-macBytes]
	a.Suite = Suite(binary.BigEndian.Uint16(body))
	size := binary.BigEndian.Uint16(body[2:])
	if a.Suite != SuiteRandom || size != SecretBytes {
		return a, fmt.Errorf("%w: suite %d with a secret of %d bytes is not supported; upgrade the receive side", ErrBody, a.Suite, size)
	}
	copy(a.Secret[:], body[announceFixed:])
	origin, rest, err := parseOrigin(body[announceFixed+SecretBytes:])
	if err != nil {
		return a, err
	}
	if len(rest) != 0 {
		return a, fmt.Errorf("%w: %d bytes after the announcement", ErrBody, len(rest))
	}
	a.Origin = origin
	return a, nil
}

func announceMAC(b []byte, key [32]byte) []byte {
	mac := hmac.New(sha256.New, key[:])
	mac.Write(b)
	return mac.Sum(nil)
}
