package pairing_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/diode/pairing"
)

var update = flag.Bool("update", false, "write testdata anew")

// vectorRandom is what the vectors' keys are made of: pre-shared key, then seed.
func vectorRandom() []byte {
	psk, seed := sha256.Sum256([]byte("vector psk")), sha256.Sum256([]byte("vector seed"))
	return append(psk[:], seed[:]...)
}

func TestVectors(t *testing.T) {
	send, receive, err := pairing.Make("plant-to-dmz", "2026-11", bytes.NewReader(vectorRandom()))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		for _, f := range []pairing.File{send, receive} {
			if err := os.Remove(pairing.Path("testdata", f.Side, f.Diode, f.Pairing)); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			if _, err := pairing.Write("testdata", f); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, want := range []pairing.File{send, receive} {
		got, err := pairing.Parse(vector(t, want.Side))
		if err != nil {
			t.Fatal(err)
		}
		if got.PSK() != want.PSK() || !bytes.Equal(got.Public().Bytes(), want.Public().Bytes()) || got.KeyID != want.KeyID ||
			got.Fingerprint != want.Fingerprint || got.Side != want.Side {
			t.Errorf("%v\n%v", got, want)
		}
		sum := sha256.Sum256(got.Public().Bytes())
		const key = "bce43639183f0a58"
		if s := fmt.Sprintf("%x", sum[:8]); s != key {
			t.Errorf("public key has the sum %s, expected %s", s, key)
		}
	}
}

func vector(t testing.TB, side pairing.Side) []byte {
	t.Helper()
	b, err := os.ReadFile(pairing.Path("testdata", side, "plant-to-dmz", "2026-11"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestParseRefuses changes the vectors and wants to read which field is wrong.
func TestParseRefuses(t *testing.T) {
	send, receive := string(vector(t, pairing.Send)), string(vector(t, pairing.Receive))
	replace := func(s, old, with string) string {
		t.Helper()
		if !strings.Contains(s, old) {
			t.Fatalf("nothing to replace: %s", old)
		}
		return strings.Replace(s, old, with, 1)
	}
	private := line(receive, "hpke_private")
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "no pairing file"},
		{"not json", "psk", "no pairing file"},
		{"list", "[]", "no pairing file"},
		{"null", "null", "version"},
		{"unknown field", replace(send, `"side"`, `"size"`), "byte"},
		{"more behind", send + "{}", "something follows"},
		{"version", replace(send, "pairing 1", "pairing 2"), "version"},
		{"side", replace(send, `"send"`, `"middle"`), "side"},
		{"no side", replace(send, "  \"side\": \"send\",\n", ""), "side"},
		{"sides exchanged", replace(send, `"send"`, `"receive"`), "hpke_public"},
		{"private key on the send side", replace(send, `  "hpke_public"`, private+",\n  \"hpke_public\""), "must never hold it"},
		{"diode", replace(send, "plant-to-dmz", "plant-to-dmy"), "key_id"},
		{"pairing", replace(send, `"2026-11"`, `"2026-12"`), "key_id"},
		{"path as name", replace(send, "plant-to-dmz", "../plant"), "cannot name a diode"},
		{"date", replace(send, line(send, "made_at"), `  "made_at": "0001-01-01T00:00:00Z"`), "made_at"},
		{"psk cut", replace(send, line(send, "psk"), `  "psk": "00ff"`), "psk: 4 characters"},
		{"psk not hex", replace(send, line(send, "psk"), `  "psk": "`+strings.Repeat("zz", 32)+`"`), "psk: not hexadecimal"},
		{"psk zero", replace(send, line(send, "psk"), `  "psk": "`+strings.Repeat("00", 32)+`"`), "psk: all zero"},
		{"no public key", replace(send, line(send, "psk")+",\n"+line(send, "hpke_public"), line(send, "psk")), "hpke_public: 0 characters"},
		{"public key no point", replace(send, line(send, "hpke_public"), `  "hpke_public": "`+strings.Repeat("ff", 1216)+`"`), "hpke_public"},
		{"public key of another", replace(send, line(send, "hpke_public"), otherPublic(t)), "fingerprint"},
		{"private key of another", replace(receive, private, `  "hpke_private": "`+strings.Repeat("11", 32)+`"`), "fingerprint"},
		{"fingerprint", replace(send, line(send, "fingerprint"), `  "fingerprint": ""`), "fingerprint"},
		{"too long", send + strings.Repeat(" ", 16<<10), "at most 16384"},
	} {
		_, err := pairing.Parse([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "pairing: ") {
			t.Errorf("%s: %v, expected %q", c.name, err, c.want)
			continue
		}
		holdsNoSecret(t, c.name, err.Error())
	}
}

// line returns the line of a field without its comma.
func line(text, field string) string {
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, `  "`+field+`"`) {
			return strings.TrimRight(l, ",\n")
		}
	}
	return "no " + field
}

func otherPublic(t *testing.T) string {
	t.Helper()
	send, _, err := pairing.Make("a", "b", bytes.NewReader(make([]byte, 64)))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`  "hpke_public": "%x"`, send.Public().Bytes())
}

func holdsNoSecret(t *testing.T, name, text string) {
	t.Helper()
	for _, part := range [][]byte{vectorRandom()[:4], vectorRandom()[32:36]} {
		if strings.Contains(text, fmt.Sprintf("%x", part)) {
			t.Errorf("%s: the error shows a key: %s", name, text)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(vector(f, pairing.Send))
	f.Add(vector(f, pairing.Receive))
	f.Add([]byte(`{"version":"sluice diode pairing 1","psk":"00"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := pairing.Parse(b)
		if err != nil {
			return
		}
		dir := filepath.Join(t.TempDir(), "keys")
		path, err := pairing.Write(dir, got)
		if err != nil {
			t.Fatalf("read, but not written: %v", err)
		}
		again, err := pairing.Load(path)
		if err != nil || again.PSK() != got.PSK() || again.Fingerprint != got.Fingerprint || again.Side != got.Side {
			t.Fatalf("%v: %v, %v", got, again, err)
		}
	})
}
