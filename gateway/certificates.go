package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

// autoCertificate is the name under which a node makes a self-signed certificate of its own: enough for a first try,
// not for a plant.
const autoCertificate = "auto"

// autoValidity of a self-signed certificate (ours: as long as a server leaf of a site's CA).
const autoValidity = 397 * 24 * time.Hour

// certificatesFor looks up every certificate that a body names.
func certificatesFor(dir, node string, s sdk.Schema, body json.RawMessage) (map[string]sdk.Certificate, error) {
	out := map[string]sdk.Certificate{}
	var names []string
	if err := certificateNames(s, body, &names); err != nil {
		return nil, err
	}
	for _, name := range names {
		c, err := loadCertificate(dir, name)
		if errors.Is(err, fs.ErrNotExist) && name == autoCertificate {
			c, err = makeCertificate(dir, node)
		}
		if err != nil {
			return nil, fmt.Errorf("certificate %q: %w", name, err)
		}
		out[name] = c
	}
	return out, nil
}

func certificateNames(s sdk.Schema, body json.RawMessage, names *[]string) error {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(body, &m); err != nil {
		return fmt.Errorf("configuration body: %w", err)
	}
	for _, a := range s.Attributes {
		var name string
		if a.Format == sdk.FormatCertificate && json.Unmarshal(m[a.Name], &name) == nil && name != "" {
			*names = append(*names, name)
		}
	}
	for _, b := range s.Blocks {
		if inner, ok := m[b.Name]; ok && string(inner) != "null" {
			if err := certificateNames(b.Schema, inner, names); err != nil {
				return err
			}
		}
	}
	return nil
}

// loadCertificate reads <dir>/<name>.crt and <name>.key; a key that others can read is refused.
func loadCertificate(dir, name string) (sdk.Certificate, error) {
	if name == "" || filepath.Base(name) != name || name[0] == '.' {
		return sdk.Certificate{}, errors.New("a name has no path in it")
	}
	keyPath := filepath.Join(dir, name+".key")
	st, err := os.Stat(keyPath)
	if err != nil {
		return sdk.Certificate{}, fmt.Errorf("put %s.crt and %s.key into %s: %w", name, name, dir, err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return sdk.Certificate{}, fmt.Errorf("%s is readable by others (mode %04o): run chmod 600 on it", keyPath, st.Mode().Perm())
	}
	key, err := os.ReadFile(keyPath)
	if err != nil {
		return sdk.Certificate{}, err
	}
	chain, err := os.ReadFile(filepath.Join(dir, name+".crt"))
	if err != nil {
		return sdk.Certificate{}, err
	}
	return sdk.Certificate{ChainPEM: chain, KeyPEM: key}, nil
}

func makeCertificate(dir, node string) (sdk.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return sdk.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return sdk.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: node}, DNSNames: []string{node, "localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:   now.Add(-time.Hour), NotAfter: now.Add(autoValidity),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return sdk.Certificate{}, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return sdk.Certificate{}, err
	}
	c := sdk.Certificate{
		ChainPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		KeyPEM:   pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}
	return c, storeCertificate(dir, autoCertificate, c)
}

// storeCertificate writes the key last: its presence says that the pair is whole.
func storeCertificate(dir, name string, c sdk.Certificate) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, name+".crt"), c.ChainPEM, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".key"), c.KeyPEM, 0o600)
}
