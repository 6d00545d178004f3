package script_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocumentedAlarmsAreRaised holds the table of alarms in docs/diode.md against the code: an operator looks for the
// words that stand there.
func TestDocumentedAlarmsAreRaised(t *testing.T) {
	root := filepath.Join("..", "..")
	b, err := os.ReadFile(filepath.Join(root, "docs", "diode.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(b), "\n## Alarms\n")
	code := sourceOf(t, filepath.Join(root, "diode"), filepath.Join(root, "gateway"))
	rows := 0
	for line := range strings.Lines(table) {
		cells := cellsOf(strings.TrimSpace(line))
		if len(cells) != 4 || !strings.HasPrefix(cells[1], "`") {
			continue
		}
		rows++
		for words := range strings.SplitSeq(strings.Trim(cells[1], "`"), "`, `") {
			if !strings.Contains(code, words) {
				t.Errorf("nothing says %q", words)
			}
		}
	}
	if rows < 15 {
		t.Errorf("only %d alarms were found in the document", rows)
	}
}

// sourceOf is the Go code below some folders, without tests.
func sourceOf(t *testing.T, folders ...string) string {
	t.Helper()
	var code strings.Builder
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := os.ReadFile(path)
			code.Write(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return code.String()
}
