package pairing

import (
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// From the specifications, in bytes.
const (
	pskBytes    = 32
	seedBytes   = 32   // HPKE private key of MLKEM768X25519 (X-Wing): the seed of both halves
	publicBytes = 1216 // 1184 of ML-KEM-768 (FIPS 203) and 32 of X25519 (RFC 7748)
)

const (
	labelKeyID       = "sluice pairing\x00"
	labelFingerprint = "sluice diode pairing 1 fingerprint\x00"
	// maxName is the longest name of a diode or a pairing, in bytes: both
	// stand in the name of a file (config.md).
	maxName = 63
	// fingerprintGroup is how many digits stand together, to be read aloud.
	fingerprintGroup = 4
)

// Make draws the keys of a new pairing and returns the file of either side. A
// nil random is crypto/rand, the only source outside of tests.
func Make(diode, pairing string, random io.Reader) (send, receive File, err error) {
	if err := checkNames(diode, pairing); err != nil {
		return File{}, File{}, fmt.Errorf("pairing: %w", err)
	}
	if random == nil {
		random = rand.Reader
	}
	var k keys
	if _, err := io.ReadFull(random, k.psk[:]); err != nil {
		return File{}, File{}, fmt.Errorf("pairing: random bytes: %w", err)
	}
	if _, err := io.ReadFull(random, k.seed[:]); err != nil {
		return File{}, File{}, fmt.Errorf("pairing: random bytes: %w", err)
	}
	if err := k.derive(); err != nil {
		return File{}, File{}, fmt.Errorf("pairing: %w", err)
	}
	receive = File{
		Side: Receive, Diode: diode, Pairing: pairing, KeyID: KeyID(diode, pairing),
		MadeAt: time.Now().UTC().Truncate(time.Second), keys: k.hidden(),
	}
	receive.Fingerprint = receive.fingerprint()
	send = receive
	public := &keys{psk: k.psk, public: k.public}
	send.Side, send.keys = Send, public.hidden()
	return send, receive, nil
}

// Match says whether two files are the two sides of one pairing, and if not,
// why.
func Match(a, b File) error {
	switch {
	case a.keys == nil || b.keys == nil:
		return errors.New("pairing: a file is empty")
	case a.Diode != b.Diode || a.Pairing != b.Pairing:
		return fmt.Errorf("pairing: %q of diode %q and %q of diode %q are two pairings", a.Pairing, a.Diode, b.Pairing, b.Diode)
	case a.Side == b.Side:
		return fmt.Errorf("pairing: %q of diode %q: both files are for the %s side", a.Pairing, a.Diode, a.Side)
	case a.Fingerprint != b.Fingerprint:
		return fmt.Errorf("pairing: %q of diode %q was made twice: fingerprints %s and %s: give both nodes the files of one run", a.Pairing, a.Diode, a.Fingerprint, b.Fingerprint)
	case subtle.ConstantTimeCompare(a.keys().psk[:], b.keys().psk[:]) != 1:
		return fmt.Errorf("pairing: %q of diode %q: the pre-shared keys differ: one file was altered; make a new pairing", a.Pairing, a.Diode)
	}
	return nil
}

// KeyID is the number that frames carry for a pairing. It follows from the
// names, so that both ends agree on it.
func KeyID(diode, pairing string) uint32 {
	sum := sha256.Sum256([]byte(labelKeyID + diode + "\x00" + pairing))
	return binary.BigEndian.Uint32(sum[:])
}

// derive computes the key pair from the seed.
func (k *keys) derive() error {
	private, err := hpke.MLKEM768X25519().NewPrivateKey(k.seed[:])
	if err != nil {
		return fmt.Errorf("HPKE private key: %w", err)
	}
	k.private, k.public = private, private.PublicKey()
	return nil
}

// fingerprint is the SHA-256 of the names, the key number and the public key,
// in groups of four digits.
func (f File) fingerprint() string {
	b := []byte(labelFingerprint + f.Diode + "\x00" + f.Pairing + "\x00")
	b = binary.BigEndian.AppendUint32(b, f.KeyID)
	sum := sha256.Sum256(append(b, f.keys().public.Bytes()...))
	text := hex.EncodeToString(sum[:])
	groups := make([]string, 0, len(text)/fingerprintGroup)
	for ; text != ""; text = text[fingerprintGroup:] {
		groups = append(groups, text[:fingerprintGroup])
	}
	return strings.Join(groups, "-")
}

func keyText(id uint32) string { return fmt.Sprintf("%08x", id) }

// checkNames refuses what cannot stand in the name of a file.
func checkNames(diode, pairing string) error {
	for _, n := range []struct{ what, name string }{{"diode", diode}, {"pairing", pairing}} {
		if n.name == "" || len(n.name) > maxName || strings.Trim(strings.ToLower(n.name), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return fmt.Errorf("%q cannot name a %s: use 1 to %d letters, digits, - and _", n.name, n.what, maxName)
		}
	}
	return nil
}
