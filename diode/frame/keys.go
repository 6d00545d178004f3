package frame

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Labels of HKDF (RFC 5869): one per use, so that no key serves two purposes.
const (
	labelAnnounce = "sluice diode v1 announce"
	labelTraffic  = "sluice diode v1 traffic"
	labelLinkID   = "sluice diode v1 link id"
)

// Suite says how the session secret travels and which algorithms follow.
type Suite uint16

// SuiteHybrid is HPKE in base mode with MLKEM768X25519 and HKDF-SHA-256, export
// only (RFC 9180, draft-ietf-hpke-pq), then HKDF-SHA-256 with the pre-shared
// key and AES-256-GCM: the traffic stays secret while either the pre-shared key
// or one of both key encapsulations holds.
const SuiteHybrid Suite = 1

// TrafficKey seals the frames of one session. It never outlives its process.
type TrafficKey struct {
	Key [32]byte
	IV  [12]byte
}

// AnnounceKey derives the key that authenticates announcements from the
// pre-shared key.
func AnnounceKey(psk [32]byte) ([32]byte, error) {
	var key [32]byte
	b, err := hkdf.Key(sha256.New, psk[:], nil, labelAnnounce, len(key))
	if err != nil {
		return key, fmt.Errorf("frame: announce key: %w", err)
	}
	copy(key[:], b)
	return key, nil
}

// DeriveTraffic derives key and IV of a session: HKDF-SHA-256 with the
// pre-shared key as salt, the encapsulated secret as input, and label, suite,
// link, key and session as info.
func DeriveTraffic(psk, secret [32]byte, suite Suite, link, key uint32, session uint64) (TrafficKey, error) {
	info := []byte(labelTraffic)
	info = binary.BigEndian.AppendUint16(info, uint16(suite))
	info = binary.BigEndian.AppendUint32(info, link)
	info = binary.BigEndian.AppendUint32(info, key)
	info = binary.BigEndian.AppendUint64(info, session)
	var k TrafficKey
	b, err := hkdf.Key(sha256.New, secret[:], psk[:], string(info), len(k.Key)+len(k.IV))
	if err != nil {
		return k, fmt.Errorf("frame: traffic key: %w", err)
	}
	copy(k.Key[:], b)
	copy(k.IV[:], b[len(k.Key):])
	return k, nil
}

// LinkID derives the number of a link from its name. Both ends are configured
// from the same name, so that two links on one wire do not take each other's
// frames for their own.
func LinkID(name string) uint32 {
	sum := sha256.Sum256([]byte(labelLinkID + "\x00" + name))
	return binary.BigEndian.Uint32(sum[:])
}
