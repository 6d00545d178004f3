package lines_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheDocumentQuotesTheExamples: every Go block of docs/plugins.md stands in an example, which is compiled and tested.
func TestTheDocumentQuotesTheExamples(t *testing.T) {
	doc, err := os.ReadFile("../../../plugins.md")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	err = filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || filepath.Base(path) == "docs_test.go" {
			return err
		}
		b, err := os.ReadFile(path)
		code.WriteString(flat(string(b)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(doc), "```go\n")[1:]
	if len(blocks) == 0 {
		t.Fatal("docs/plugins.md quotes nothing")
	}
	for _, b := range blocks {
		b, _, _ = strings.Cut(b, "```")
		if !strings.Contains(code.String(), flat(b)) {
			t.Errorf("docs/plugins.md quotes what no example holds:\n%s", b)
		}
	}
}

// flat takes the indentation out.
func flat(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(strings.TrimSpace(line) + "\n")
	}
	return b.String()
}
