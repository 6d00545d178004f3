package frame

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrTag is the answer to a frame that was not sealed under this session's
// key, or was changed on the way.
var ErrTag = errors.New("frame: bad tag")

// Sealer seals frames of one session. Counters come from the caller and must
// never repeat: the nonce is the session's IV XOR the counter (the construction
// of RFC 8446, section 5.3). Not safe for concurrent use.
type Sealer struct {
	aead  cipher.AEAD
	iv    [12]byte
	nonce [12]byte
}

// NewSealer returns a sealer for one session.
func NewSealer(k TrafficKey) (*Sealer, error) {
	aead, err := newAEAD(k)
	if err != nil {
		return nil, err
	}
	return &Sealer{aead: aead, iv: k.IV}, nil
}

// Seal writes header, sealed plain and tag into dst, which must have a capacity
// of at least Overhead+len(plain), and returns the frame. plain must not
// overlap dst. It does not allocate.
func (s *Sealer) Seal(dst []byte, h *Header, plain []byte) []byte {
	head := dst[:HeaderBytes]
	h.Put(head)
	s.nonce = nonceOf(s.iv, h.Counter)
	return s.aead.Seal(head, s.nonce[:], plain, head)
}

// Opener opens frames of one session. Not safe for concurrent use.
type Opener struct {
	aead  cipher.AEAD
	iv    [12]byte
	nonce [12]byte
}

// NewOpener returns an opener for one session.
func NewOpener(k TrafficKey) (*Opener, error) {
	aead, err := newAEAD(k)
	if err != nil {
		return nil, err
	}
	return &Opener{aead: aead, iv: k.IV}, nil
}

// Open appends the plaintext of the frame b, whose header was parsed into h, to
// dst and returns it, or ErrTag. dst must not overlap b. With room in dst it
// does not allocate.
func (o *Opener) Open(dst []byte, h *Header, b []byte) ([]byte, error) {
	o.nonce = nonceOf(o.iv, h.Counter)
	out, err := o.aead.Open(dst, o.nonce[:], b[HeaderBytes:], b[:HeaderBytes])
	if err != nil {
		return nil, ErrTag
	}
	return out, nil
}

func newAEAD(k TrafficKey) (cipher.AEAD, error) {
	block, err := aes.NewCipher(k.Key[:])
	if err != nil {
		return nil, fmt.Errorf("frame: cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("frame: cipher: %w", err)
	}
	return aead, nil
}

func nonceOf(iv [12]byte, counter uint64) [12]byte {
	low := binary.BigEndian.Uint64(iv[4:]) ^ counter
	binary.BigEndian.PutUint64(iv[4:], low)
	return iv
}
