package gateway

import (
	"encoding/json"
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
	for name, n := range map[string]near{
		"short":            {Node: "plant", Version: "0.1.0", Guard: "ok", Plugins: 2, Running: 1, Behind: 7},
		"long":             {Node: strings.Repeat("n", 63), Version: strings.Repeat("v", 500), Guard: "unknown", Behind: 1 << 63, Warnings: 1 << 30},
		"escaped by JSON":  {Node: strings.Repeat("\x01", 63), Version: strings.Repeat("\"", 63), Guard: "ok"},
		"cut in a letter":  {Node: strings.Repeat("é", 63), Version: strings.Repeat("é", 63), Guard: "ok"},
		"nothing to speak": {},
	} {
		b := n.encode()
		var got near
		if err := json.Unmarshal(b, &got); err != nil || len(b) > maxHealth || got.Behind != n.Behind {
			t.Errorf("%s: %d bytes, %v: %s", name, len(b), err, b)
		}
	}
}

func TestAFileThatIsThereIsNotWrittenAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	for _, content := range []string{"first", "second"} {
		if err := writeOnce(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if st, serr := os.Stat(path); err != nil || serr != nil || string(b) != "first" || st.Mode().Perm() != 0o600 {
		t.Fatalf("%q %v %v %v", b, st.Mode(), err, serr)
	}
}
