package frame

import (
	"crypto/hpke"
	"fmt"
)

// EncapsulationBytes is the size of an encapsulated secret of SuiteHybrid:
// 1088 bytes of ML-KEM-768 (FIPS 203) and 32 of X25519 (RFC 7748).
const EncapsulationBytes = 1120

const (
	secretBytes  = 32 // bytes; of the exported secret
	labelSession = "sluice diode v1 session"
	labelExport  = "sluice diode v1 exported secret"
)

// KEM is the key encapsulation of SuiteHybrid. Its key pair is made with the
// pairing; only the receive node holds the private half, so that who reads the
// send node's disk later cannot read what was recorded on the wire before.
func KEM() hpke.KEM { return hpke.MLKEM768X25519() }

// Encapsulate draws a secret for one session and wraps it for the holder of the
// private key: HPKE base mode, export only (RFC 9180, sections 5.1.1 and 5.3).
func Encapsulate(public hpke.PublicKey) (enc [EncapsulationBytes]byte, secret [32]byte, err error) {
	b, s, err := hpke.NewSender(public, hpke.HKDFSHA256(), hpke.ExportOnly(), []byte(labelSession))
	if err != nil {
		return enc, secret, fmt.Errorf("frame: encapsulate: %w", err)
	}
	if len(b) != EncapsulationBytes {
		return enc, secret, fmt.Errorf("frame: encapsulate: %d bytes, expected %d: the key is of another kind", len(b), EncapsulationBytes)
	}
	copy(enc[:], b)
	exported, err := s.Export(labelExport, secretBytes)
	if err != nil {
		return enc, secret, fmt.Errorf("frame: encapsulate: %w", err)
	}
	copy(secret[:], exported)
	return enc, secret, nil
}

// Decapsulate unwraps the secret of a session. It costs about 85 µs: check the
// announcement first.
func Decapsulate(private hpke.PrivateKey, enc [EncapsulationBytes]byte) (secret [32]byte, err error) {
	r, err := hpke.NewRecipient(enc[:], private, hpke.HKDFSHA256(), hpke.ExportOnly(), []byte(labelSession))
	if err != nil {
		return secret, fmt.Errorf("frame: decapsulate: %w", err)
	}
	exported, err := r.Export(labelExport, secretBytes)
	if err != nil {
		return secret, fmt.Errorf("frame: decapsulate: %w", err)
	}
	copy(secret[:], exported)
	return secret, nil
}
