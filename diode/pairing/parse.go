package pairing

import (
	"bytes"
	"crypto/hpke"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

const (
	version = "sluice diode pairing 1"
	// maxFile bounds a file that is read, in bytes; a real one has less than
	// 3 KiB (ours).
	maxFile = 16 << 10
)

// document is a file as it lies on disk.
type document struct {
	Version     string    `json:"version"`
	Side        Side      `json:"side"`
	Diode       string    `json:"diode"`
	Pairing     string    `json:"pairing"`
	KeyID       string    `json:"key_id"`
	MadeAt      time.Time `json:"made_at"`
	Fingerprint string    `json:"fingerprint"`
	PSK         string    `json:"psk"`
	Private     string    `json:"hpke_private,omitempty"`
	Public      string    `json:"hpke_public,omitempty"`
}

// encode returns the bytes of a file, secrets and all.
func (f File) encode() ([]byte, error) {
	if f.keys == nil {
		return nil, errors.New("an empty file")
	}
	d := document{
		Version: version, Side: f.Side, Diode: f.Diode, Pairing: f.Pairing, KeyID: keyText(f.KeyID),
		MadeAt: f.MadeAt, Fingerprint: f.Fingerprint, PSK: hex.EncodeToString(f.keys().psk[:]),
	}
	if f.Side == Receive {
		d.Private = hex.EncodeToString(f.keys().seed[:])
	} else {
		d.Public = hex.EncodeToString(f.keys().public.Bytes())
	}
	b, err := json.MarshalIndent(d, "", "  ")
	return append(b, '\n'), err
}

// Parse reads the bytes of a file. Errors name the field and hold nothing of
// its content that may be secret.
func Parse(b []byte) (File, error) {
	f, err := parse(b)
	if err != nil {
		return File{}, fmt.Errorf("pairing: %w", err)
	}
	return f, nil
}

func parse(b []byte) (File, error) {
	if len(b) > maxFile {
		return File{}, fmt.Errorf("%d bytes: a pairing file has at most %d", len(b), maxFile)
	}
	var d document
	if err := decodeStrict(b, &d); err != nil {
		return File{}, err
	}
	return d.file()
}

// decodeStrict refuses unknown fields and whatever follows the document. Errors
// of the decoder may quote a value, so only their place is told.
func decodeStrict(b []byte, d *document) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(d); err != nil {
		return fmt.Errorf("byte %d: no pairing file, or one with a field that this version does not know: make a new pairing", dec.InputOffset())
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("byte %d: something follows the pairing", dec.InputOffset())
	}
	return nil
}

func (d document) file() (File, error) {
	f := File{Side: d.Side, Diode: d.Diode, Pairing: d.Pairing, KeyID: KeyID(d.Diode, d.Pairing), MadeAt: d.MadeAt, keys: new(keys).hidden()}
	if d.Version != version {
		return File{}, fmt.Errorf("version: expected %q", version)
	}
	if err := checkNames(d.Diode, d.Pairing); err != nil {
		return File{}, err
	}
	if d.KeyID != keyText(f.KeyID) {
		return File{}, fmt.Errorf("key_id: does not belong to diode %q and pairing %q: was the file renamed or edited?", d.Diode, d.Pairing)
	}
	if d.MadeAt.IsZero() {
		return File{}, errors.New("made_at: missing")
	}
	if err := decodeHex("psk", d.PSK, f.keys().psk[:]); err != nil {
		return File{}, err
	}
	if f.keys().psk == [pskBytes]byte{} {
		return File{}, errors.New("psk: all zero")
	}
	if err := d.readHPKE(f.keys()); err != nil {
		return File{}, err
	}
	f.Fingerprint = f.fingerprint()
	if d.Fingerprint != f.Fingerprint {
		return File{}, errors.New("fingerprint: does not belong to the keys: the file was altered; make a new pairing")
	}
	return f, nil
}

// readHPKE reads the half of the key pair that belongs to the file's side, and
// refuses the other half beside it.
func (d document) readHPKE(k *keys) error {
	switch {
	case d.Side == Send && d.Private != "":
		return errors.New("hpke_private: the send side must never hold it: make a new pairing")
	case d.Side == Send:
		public := make([]byte, publicBytes)
		if err := decodeHex("hpke_public", d.Public, public); err != nil {
			return err
		}
		p, err := hpke.MLKEM768X25519().NewPublicKey(public)
		if err != nil {
			return fmt.Errorf("hpke_public: %w", err)
		}
		k.public = p
		return nil
	case d.Side == Receive && d.Public != "":
		return errors.New("hpke_public: follows from hpke_private on the receive side and must not stand beside it")
	case d.Side == Receive:
		if err := decodeHex("hpke_private", d.Private, k.seed[:]); err != nil {
			return err
		}
		return k.derive()
	}
	return fmt.Errorf("side: expected %q or %q", Send, Receive)
}

// decodeHex fills dst. Its errors hold nothing of the text.
func decodeHex(field, text string, dst []byte) error {
	if len(text) != 2*len(dst) {
		return fmt.Errorf("%s: %d characters, expected %d hexadecimal digits", field, len(text), 2*len(dst))
	}
	if _, err := hex.Decode(dst, []byte(text)); err != nil {
		return fmt.Errorf("%s: not hexadecimal", field)
	}
	return nil
}
