package pairing

import (
	"crypto/hpke"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Side says which end of a link a file is for.
type Side string

// The two ends.
const (
	Send    Side = "send"
	Receive Side = "receive"
)

// File is one end's half of a pairing. The zero File holds nothing and is
// written nowhere. Files are immutable and may be copied.
type File struct {
	Side        Side
	Diode       string
	Pairing     string
	KeyID       uint32 // of the names, see KeyID
	MadeAt      time.Time
	Fingerprint string // over the public parts, the same on both sides
	// keys are behind a function: fmt reaches unexported fields, also through
	// pointers, but not what a function returns.
	keys func() *keys
}

type keys struct {
	psk     [pskBytes]byte
	seed    [seedBytes]byte // receive only
	public  hpke.PublicKey
	private hpke.PrivateKey // receive only
}

// PSK returns the pre-shared key. Use it for HKDF alone, never as an AES key.
func (f File) PSK() [32]byte {
	if f.keys == nil {
		return [32]byte{}
	}
	return f.keys().psk
}

// Public returns the receive side's HPKE public key (MLKEM768X25519), nil in a
// zero File.
func (f File) Public() hpke.PublicKey {
	if f.keys == nil {
		return nil
	}
	return f.keys().public
}

// Private returns the HPKE private key, nil on the send side. The value shows
// the key when it is printed: hold it where nobody does.
func (f File) Private() hpke.PrivateKey {
	if f.keys == nil {
		return nil
	}
	return f.keys().private
}

// String names the pairing and shows no key.
func (f File) String() string {
	return fmt.Sprintf("pairing %q of diode %q, %s side, key %08x, fingerprint %s", f.Pairing, f.Diode, f.Side, f.KeyID, f.Fingerprint)
}

// Format prints String for every verb and flag.
func (f File) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, f.String()) }

// LogValue logs what String says.
func (f File) LogValue() slog.Value { return slog.StringValue(f.String()) }

// MarshalJSON encodes the public parts, as a status shows them. It is not what
// Write puts down.
func (f File) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Side        Side      `json:"side"`
		Diode       string    `json:"diode"`
		Pairing     string    `json:"pairing"`
		KeyID       string    `json:"key_id"`
		MadeAt      time.Time `json:"made_at"`
		Fingerprint string    `json:"fingerprint"`
	}{f.Side, f.Diode, f.Pairing, keyText(f.KeyID), f.MadeAt, f.Fingerprint})
}

func (k *keys) hidden() func() *keys { return func() *keys { return k } }
