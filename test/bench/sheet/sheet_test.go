package sheet_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-gateway/sluice/test/bench/sheet"
)

func TestSpreadOf(t *testing.T) {
	itself := func(v float64) float64 { return v }
	for want, runs := range map[string][]float64{"0 (0–0)": nil, "2 (1–9)": {9, 1, 2}, "3 (1–9)": {9, 1, 2, 4}} {
		if got := sheet.SpreadOf(runs, itself).Text("%.0f"); got != want {
			t.Errorf("%v: %s, want %s", runs, got, want)
		}
	}
}

func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.md")
	if err := os.WriteFile(path, []byte("a\n<b>\nold\n<e>\nz\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := sheet.Replace(path, "<b>", "<e>", "new"); err != nil {
		t.Fatal(err)
	}
	if got := sheet.ReadFile(path); got != "a\n<b>\nnew\n<e>\nz\n" {
		t.Errorf("%q", got)
	}
	if err := sheet.Replace(path, "<none>", "<e>", "new"); err == nil {
		t.Error("no mark, and no error")
	}
}
