package gateway

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// keyBytes is the size of a diode's pre-shared key.
const keyBytes = 32

// keyFile is where a diode's pre-shared key lies: 64 hexadecimal digits, readable by its owner only.
func keyFile(stateDir, diode, pairing string) string {
	return filepath.Join(stateDir, "keys", diode+"-"+pairing+".psk")
}

// readKey reads a diode's pre-shared key. The error says how to make one; it never holds a part of it.
func readKey(stateDir, diode, pairing string) ([keyBytes]byte, error) {
	var key [keyBytes]byte
	path := keyFile(stateDir, diode, pairing)
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return key, fmt.Errorf("diode %q: pairing %q: no key at %s: make it once with `(umask 077; openssl rand -hex 32 > FILE)` and carry the same file to both nodes", diode, pairing, path)
	}
	if err != nil {
		return key, fmt.Errorf("diode %q: %w", diode, err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return key, fmt.Errorf("diode %q: %s is readable by others (mode %04o): run chmod 600 on it, and make a new key if someone may have read it", diode, path, st.Mode().Perm())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return key, fmt.Errorf("diode %q: %w", diode, err)
	}
	text := strings.TrimSpace(string(b))
	if n, err := hex.Decode(key[:], []byte(text[:min(len(text), 2*keyBytes)])); err != nil || n != keyBytes || len(text) != 2*keyBytes {
		return key, fmt.Errorf("diode %q: %s holds no key: 64 hexadecimal digits are expected", diode, path)
	}
	return key, nil
}

// ensureKey makes a key that is not there yet. Only a process that runs both ends does that: two machines must be given
// the same key by a person.
func ensureKey(stateDir, diode, pairing string) error {
	path := keyFile(stateDir, diode, pairing)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := privateDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("diode %q: %w", diode, err)
	}
	var key [keyBytes]byte
	_, _ = rand.Read(key[:]) // never fails, see crypto/rand
	if err := writeOnce(path, []byte(hex.EncodeToString(key[:])+"\n")); err != nil {
		return fmt.Errorf("diode %q: %w", diode, err)
	}
	return nil
}

// keyID is the number that frames carry for a pairing. It is derived from the names so that both ends agree.
func keyID(diode, pairing string) uint32 {
	sum := sha256.Sum256([]byte("sluice pairing\x00" + diode + "\x00" + pairing))
	return binary.BigEndian.Uint32(sum[:])
}
