package gateway

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-gateway/sluice/diode/pairing"
)

func TestADirectoryOfTheNodeIsForItsOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "plant")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "new")} {
		if err := privateDir(path); err != nil {
			t.Fatal(err)
		}
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v %v", path, st.Mode(), err)
		}
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := privateDir(file); err == nil {
		t.Error("a file is taken for a directory")
	}
}

// Whoever starts first makes the pairing; nobody ever reads half of one, and all have the same.
func TestOnePairingIsMadeHoweverManyMakeIt(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	prints := make([]string, 16)
	for i := range prints {
		wg.Go(func() {
			if err := ensurePairing(dir, "d", "p"); err != nil {
				t.Error(err)
			}
			f, err := findPairing(dir, []pairing.Side{pairing.Send, pairing.Receive}[i%2], "d", "p")
			if err != nil {
				t.Error(err)
			}
			prints[i] = f.Fingerprint
		})
	}
	wg.Wait()
	for _, p := range prints {
		if p != prints[0] {
			t.Fatal("fingerprints differ")
		}
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "keys", ".*")); len(names) != 0 {
		t.Errorf("left %q", names)
	}
}

func TestHealthFitsAHeartbeat(t *testing.T) {
	many := func(n int, name string) (out []patient) {
		for i := range n {
			out = append(out, patient{name: fmt.Sprint(name, i), state: []string{"failed", running}[min(i, 1)]})
		}
		return out
	}
	for name, c := range map[string]struct {
		n         near
		receivers []patient
		shown     int
	}{
		"short":            {near{Node: "plant", Version: "0.1.0", Guard: "ok", Behind: 7}, many(2, "udp.a"), 2},
		"long":             {near{Node: strings.Repeat("n", 63), Version: strings.Repeat("v", 500), Guard: "unknown", Behind: 1 << 63, Warnings: 1 << 30}, nil, 0},
		"escaped by JSON":  {near{Node: strings.Repeat("\x01", 63), Version: strings.Repeat("\"", 63), Guard: "ok"}, many(1, "udp.a"), 1},
		"cut in a letter":  {near{Node: strings.Repeat("é", 63), Version: strings.Repeat("é", 63), Guard: "ok"}, nil, 0},
		"many receivers":   {near{Node: "plant"}, many(100, "udp.a-rather-long-name"), 9},
		"endless names":    {near{Node: "plant"}, many(2, strings.Repeat("n", 600)), 0},
		"nothing to speak": {},
	} {
		b := c.n.encode(c.receivers)
		var got near
		if err := json.Unmarshal(b, &got); err != nil || len(b) > maxHealth || got.Behind != c.n.Behind {
			t.Errorf("%s: %d bytes, %v: %s", name, len(b), err, b)
		}
		if n := len(got.Receivers); n < c.shown || n+got.More != len(c.receivers) || got.Plugins != len(c.receivers) {
			t.Errorf("%s: %s", name, b)
		}
		if c.shown > 0 && got.Receivers[c.receivers[0].name] != "failed" {
			t.Errorf("%s: the sick one is not shown: %s", name, b)
		}
	}
}
