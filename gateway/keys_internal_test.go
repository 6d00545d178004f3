package gateway

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/diode/pairing"
	"github.com/sluice-gateway/sluice/hcl/config"
	"github.com/sluice-gateway/sluice/sdk"
)

func TestAMissingPairingIsExplained(t *testing.T) {
	dir := t.TempDir()
	want := func(side pairing.Side, parts ...string) {
		t.Helper()
		_, err := findPairing(dir, side, "plant-to-dmz", "2026-11")
		for _, p := range parts {
			if err == nil || !strings.Contains(err.Error(), p) {
				t.Errorf("%v, want %q", err, p)
			}
		}
	}
	want(pairing.Send, `diode "plant-to-dmz": send side: `, "plant-to-dmz-2026-11.send.json", "sluice diode pair plant-to-dmz")
	want(pairing.Receive, "receive side", "plant-to-dmz-2026-11.receive.json")
	if err := os.MkdirAll(keysDir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(keysDir(dir), "plant-to-dmz-2026-11.psk"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want(pairing.Send, "sluice diode pair plant-to-dmz", "2026-11.psk is of a form that is no longer read")
}

func TestAPairingIsMadeOnceWithBothHalves(t *testing.T) {
	dir := t.TempDir()
	prints := map[string]bool{}
	for range 2 {
		if err := ensurePairing(dir, "d", "p"); err != nil {
			t.Fatal(err)
		}
		for _, side := range []pairing.Side{pairing.Send, pairing.Receive} {
			f, err := findPairing(dir, side, "d", "p")
			if err != nil {
				t.Fatal(err)
			}
			prints[f.Fingerprint] = true
			st, err := os.Stat(pairing.Path(keysDir(dir), side, "d", "p"))
			if err != nil || st.Mode().Perm() != 0o600 {
				t.Fatalf("%v %v", st.Mode(), err)
			}
		}
	}
	if len(prints) != 1 {
		t.Error("made twice")
	}
	// One half alone may belong to another machine: nothing is made over it.
	if err := os.Remove(pairing.Path(keysDir(dir), pairing.Send, "d", "p")); err != nil {
		t.Fatal(err)
	}
	if err := ensurePairing(dir, "d", "p"); err != nil {
		t.Fatal(err)
	}
	if _, err := findPairing(dir, pairing.Send, "d", "p"); !errors.Is(err, pairing.ErrMissing) {
		t.Errorf("%v", err)
	}
}

func TestTheReceiveSideTakesThePairingBeforeToo(t *testing.T) {
	g := testGateway(t)
	d := &config.Diode{Name: "d", Pairing: "new", PreviousPairing: "old"}
	for _, name := range []string{"new", "old"} {
		if err := ensurePairing(g.opts.StateDir, "d", name); err != nil {
			t.Fatal(err)
		}
	}
	names := func(side pairing.Side) (out []string) {
		files, err := g.pairings(side, d)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			out = append(out, f.Pairing)
		}
		return out
	}
	if got := names(pairing.Receive); !slices.Equal(got, []string{"new", "old"}) {
		t.Errorf("%q", got)
	}
	if got := names(pairing.Send); !slices.Equal(got, []string{"new"}) {
		t.Errorf("%q", got)
	}
	if err := os.Remove(pairing.Path(keysDir(g.opts.StateDir), pairing.Receive, "d", "old")); err != nil {
		t.Fatal(err)
	}
	if got := names(pairing.Receive); !slices.Equal(got, []string{"new"}) || len(g.warnings) != 1 {
		t.Errorf("%q, warnings %q", got, g.warnings)
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
