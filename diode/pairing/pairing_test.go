package pairing_test

import (
	"crypto/hpke"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/diode/pairing"
)

func makePair(t *testing.T, diode, name string) (send, receive pairing.File) {
	t.Helper()
	send, receive, err := pairing.Make(diode, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return send, receive
}

func TestBothSidesAgree(t *testing.T) {
	dir := t.TempDir()
	for _, f := range sides(makePair(t, "plant-to-dmz", "2026-11")) {
		if _, err := pairing.Write(dir, f); err != nil {
			t.Fatal(err)
		}
	}
	send, err := pairing.Find(dir, pairing.Send, "plant-to-dmz", "2026-11")
	if err != nil {
		t.Fatal(err)
	}
	receive, err := pairing.Find(dir, pairing.Receive, "plant-to-dmz", "2026-11")
	if err != nil {
		t.Fatal(err)
	}
	if err := pairing.Match(send, receive); err != nil {
		t.Error(err)
	}
	if send.PSK() != receive.PSK() || send.PSK() == [32]byte{} {
		t.Error("pre-shared keys differ")
	}
	if send.Private() != nil || send.KeyID != pairing.KeyID("plant-to-dmz", "2026-11") || send.MadeAt.IsZero() {
		t.Errorf("%v", send)
	}
	enc, out, err := hpke.NewSender(send.Public(), hpke.HKDFSHA256(), hpke.ExportOnly(), nil)
	if err != nil {
		t.Fatal(err)
	}
	in, err := hpke.NewRecipient(enc, receive.Private(), hpke.HKDFSHA256(), hpke.ExportOnly(), nil)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := out.Export("x", 32)
	b, _ := in.Export("x", 32)
	if len(a) != 32 || string(a) != string(b) {
		t.Error("the halves of the key pair do not belong together")
	}
}

func sides(a, b pairing.File) []pairing.File { return []pairing.File{a, b} }

func TestMatchRefuses(t *testing.T) {
	send, receive := makePair(t, "d", "p")
	otherSend, _ := makePair(t, "d", "p")
	third, _ := makePair(t, "d", "q")
	for want, pair := range map[string][2]pairing.File{
		"is empty":        {send, {}},
		"two pairings":    {third, receive},
		"both files":      {send, send},
		"was made twice:": {otherSend, receive},
	} {
		if err := pairing.Match(pair[0], pair[1]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestFilesOnDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	send, receive := makePair(t, "a", "b")
	path, err := pairing.Write(dir, send)
	if err != nil || path != filepath.Join(dir, "a-b.send.json") {
		t.Fatal(path, err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	before, _ := os.ReadFile(path)
	again, _ := makePair(t, "a", "b")
	if _, err := pairing.Write(dir, again); !errors.Is(err, pairing.ErrExists) {
		t.Errorf("overwrites: %v", err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("a refused file changed what was there")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".new-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	text := string(before)
	if strings.Contains(text, "hpke_private") || strings.Contains(text, seed(t, receive)) {
		t.Error("the send side's file holds the private key")
	}
	if _, err := pairing.Write(dir, pairing.File{}); err == nil {
		t.Error("an empty file was written")
	}
}

// seed returns the receive side's private key as it stands in its file.
func seed(t *testing.T, f pairing.File) string {
	t.Helper()
	b, err := f.Private().Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", b)
}

func TestFindSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	send, receive := makePair(t, "a", "b")
	if _, err := pairing.Find(dir, pairing.Send, "a", "b"); !errors.Is(err, pairing.ErrMissing) || !errors.Is(err, fs.ErrNotExist) ||
		!strings.Contains(err.Error(), "sluice diode pair a") {
		t.Errorf("missing: %v", err)
	}
	sendPath, _ := pairing.Write(dir, send)
	receivePath, _ := pairing.Write(dir, receive)
	find := func() error {
		_, err := pairing.Find(dir, pairing.Send, "a", "b")
		return err
	}
	if err := find(); err != nil {
		t.Fatal(err)
	}
	copyFile(t, receivePath, sendPath)
	if err := find(); err == nil || !strings.Contains(err.Error(), "made for the receive side, this is the send side") {
		t.Errorf("other side: %v", err)
	}
	other, _ := makePair(t, "a", "x")
	otherPath, _ := pairing.Write(dir, other)
	copyFile(t, otherPath, sendPath)
	if err := find(); err == nil || !strings.Contains(err.Error(), "was it renamed?") {
		t.Errorf("renamed: %v", err)
	}
	if err := os.Chmod(sendPath, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := find(); !errors.Is(err, pairing.ErrExposed) || !strings.Contains(err.Error(), "mode 0640") {
		t.Errorf("exposed: %v", err)
	}
	if err := errors.Join(os.Remove(sendPath), os.Mkdir(sendPath, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := find(); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("directory: %v", err)
	}
	if _, err := pairing.Find(dir, pairing.Send, "../a", "b"); err == nil {
		t.Error("a name that leaves the directory was taken")
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestList(t *testing.T) {
	dir := t.TempDir()
	if found, err := pairing.List(filepath.Join(dir, "none"), "a"); err != nil || len(found) != 0 {
		t.Errorf("no directory: %v %v", found, err)
	}
	for _, name := range []string{"2025", "2026"} {
		for _, f := range sides(makePair(t, "a", name)) {
			if _, err := pairing.Write(dir, f); err != nil {
				t.Fatal(err)
			}
		}
	}
	other, _ := makePair(t, "a-b", "1") // its file begins with "a-" as well
	if _, err := pairing.Write(dir, other); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a-old.send.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a-x.psk"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := pairing.List(dir, "a")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range found {
		got = append(got, fmt.Sprintf("%s %s %t", filepath.Base(f.Path), f.File.Side, f.Err == nil))
	}
	want := "a-2025.receive.json receive true|a-2025.send.json send true|a-2026.receive.json receive true|a-2026.send.json send true|a-old.send.json  false"
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"", "a/b", "a.b", "ä", "a b", "..", strings.Repeat("a", 64), "a\x00"} {
		if _, _, err := pairing.Make(name, "p", nil); err == nil {
			t.Errorf("diode %q taken", name)
		}
		if _, _, err := pairing.Make("d", name, nil); err == nil {
			t.Errorf("pairing %q taken", name)
		}
	}
	if _, _, err := pairing.Make("d", "p", strings.NewReader("short")); err == nil {
		t.Error("too few random bytes taken")
	}
}

// TestNothingShowsSecrets prints files in every way that a log, a status or a
// careless %+v would.
func TestNothingShowsSecrets(t *testing.T) {
	send, receive := makePair(t, "d", "p")
	psk := send.PSK()
	var shown strings.Builder
	logger := slog.New(slog.NewJSONHandler(&shown, nil))
	for _, f := range []pairing.File{send, receive} {
		holder := struct {
			Exported pairing.File
			hidden   pairing.File
			pointer  *pairing.File
		}{f, f, &f}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%T"} {
			fmt.Fprintf(&shown, verb+"\n", f)
			fmt.Fprintf(&shown, verb+"\n", &f)
			fmt.Fprintf(&shown, verb+"\n", holder)
			fmt.Fprintf(&shown, verb+"\n", []pairing.Found{{File: f}})
		}
		b, err := json.Marshal([]any{f, &f, holder, pairing.Found{File: f}})
		if err != nil {
			t.Fatal(err)
		}
		shown.Write(b)
		logger.Info("x", "file", f, "pointer", &f)
	}
	text := shown.String()
	for _, secret := range []string{
		fmt.Sprintf("%x", psk), fmt.Sprintf("%X", psk), fmt.Sprint(psk), fmt.Sprintf("%v", psk[:8]), seed(t, receive),
		hex.EncodeToString(psk[:6]), seed(t, receive)[:12], strings.Trim(fmt.Sprint(psk[:6]), "[]"), strconv.Quote(string(psk[:])), //nolint:staticcheck // as fmt shows bytes, in decimal
	} {
		if strings.Contains(text, secret) {
			t.Errorf("shown: %q", secret)
		}
	}
	if !strings.Contains(text, send.Fingerprint) {
		t.Error("not even the fingerprint is shown: the test looks in the wrong place")
	}
}

func TestZeroFile(t *testing.T) {
	var f pairing.File
	if f.PSK() != [32]byte{} || f.Public() != nil || f.Private() != nil {
		t.Error("a zero file holds keys")
	}
}
