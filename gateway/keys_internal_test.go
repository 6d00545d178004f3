package gateway

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/sdk"
)

func TestMissingKeyIsExplained(t *testing.T) {
	_, err := readKey(t.TempDir(), "plant-to-dmz", "2026-11")
	if err == nil || !strings.Contains(err.Error(), "openssl rand -hex 32") {
		t.Fatalf("%v", err)
	}
}

func TestKeyIsMadeOnceAndReadByItsOwnerOnly(t *testing.T) {
	dir := t.TempDir()
	if err := ensureKey(dir, "d", "p"); err != nil {
		t.Fatal(err)
	}
	first, err := readKey(dir, "d", "p")
	if err != nil {
		t.Fatal(err)
	}
	if err := ensureKey(dir, "d", "p"); err != nil {
		t.Fatal(err)
	}
	second, err := readKey(dir, "d", "p")
	if err != nil || first != second || first == [keyBytes]byte{} {
		t.Fatalf("key changed or empty: %v", err)
	}
	st, err := os.Stat(keyFile(dir, "d", "p"))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", st.Mode(), err)
	}
}

func TestBadKeyFilesAreRefusedWithoutShowingThem(t *testing.T) {
	secret := strings.Repeat("ab", keyBytes)
	for _, c := range []struct {
		name, content string
		mode          fs.FileMode
		want          string
	}{
		{"readable by others", secret, 0o644, "chmod 600"},
		{"short", secret[:60], 0o600, "64 hexadecimal digits"},
		{"long", secret + "ab", 0o600, "64 hexadecimal digits"},
		{"not hexadecimal", strings.Repeat("zz", keyBytes), 0o600, "64 hexadecimal digits"},
		{"empty", "", 0o600, "64 hexadecimal digits"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := keyFile(dir, "d", "p")
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(c.content), c.mode); err != nil {
				t.Fatal(err)
			}
			_, err := readKey(dir, "d", "p")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v, want %q", err, c.want)
			}
			if c.content != "" && strings.Contains(err.Error(), c.content[:8]) {
				t.Fatalf("the error shows the key: %v", err)
			}
		})
	}
}

func TestAutoCertificateIsMadeOnceAndServes(t *testing.T) {
	schema := sdk.Schema{Blocks: []sdk.Block{{Name: "tls", Schema: sdk.Schema{Attributes: []sdk.Attribute{
		{Name: "certificate", Type: sdk.TypeString, Format: sdk.FormatCertificate},
	}}}}}
	body := json.RawMessage(`{"protocol":"syslog","tls":{"certificate":"auto"}}`)
	dir := filepath.Join(t.TempDir(), "certificates")
	first, err := certificatesFor(dir, "plant", schema, body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(first["auto"].ChainPEM, first["auto"].KeyPEM); err != nil {
		t.Fatal(err)
	}
	second, err := certificatesFor(dir, "plant", schema, body)
	if err != nil || string(second["auto"].KeyPEM) != string(first["auto"].KeyPEM) {
		t.Fatalf("a second pair was made: %v", err)
	}
	if st, err := os.Stat(filepath.Join(dir, "auto.key")); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", st, err)
	}
}

func TestNamedCertificatesMustExistAndHaveNoPath(t *testing.T) {
	dir := t.TempDir()
	if _, err := loadCertificate(dir, "gw-plant"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "gw-plant.crt") {
		t.Errorf("%v", err)
	}
	for _, name := range []string{"", "../etc/x", "a/b", ".hidden"} {
		if _, err := loadCertificate(dir, name); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestSecretIsReadFromAPrivateFileOfItsName(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]fs.FileMode{"good": 0o600, "open": 0o640} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("tops3cret\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	lookup := secretsIn(dir)
	if got, err := lookup("good"); err != nil || got != "tops3cret" {
		t.Errorf("%q %v", got, err)
	}
	for _, name := range []string{"open", "missing", "", "../good", ".good"} {
		got, err := lookup(name)
		if err == nil || got != "" || strings.Contains(err.Error(), "tops3cret") {
			t.Errorf("%q: %q %v", name, got, err)
		}
	}
}
