package guard

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
)

var update = flag.Bool("update", false, "write what the cases of testdata/policy print now; read it afterwards")

// TestPolicyCases plays the cases of testdata/policy. A case is a heading, "==
// name", and lines for a world; after "show" stands, indented by "> ", what
// the world prints there.
func TestPolicyCases(t *testing.T) {
	files, err := filepath.Glob("testdata/policy/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		head, cases := splitCases(string(text))
		var now strings.Builder
		now.WriteString(head)
		for _, c := range cases {
			name, _, _ := strings.Cut(c, "\n")
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt")+"/"+name, func(t *testing.T) {
				played := play(t, c)
				now.WriteString("== " + played)
				if !*update && played != c {
					t.Errorf("got\n%s\nwant\n%s", played, c)
				}
			})
		}
		if *update {
			if err := os.WriteFile(file, []byte(strings.TrimRight(now.String(), "\n")+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func splitCases(text string) (head string, cases []string) {
	parts := strings.Split("\n"+text, "\n== ")
	head = strings.TrimPrefix(parts[0], "\n")
	if head != "" {
		head += "\n"
	}
	for _, c := range parts[1:] {
		cases = append(cases, strings.TrimRight(c, "\n")+"\n\n")
	}
	return head, cases
}

// play returns a case with what the world prints now.
func play(t *testing.T, c string) string {
	t.Helper()
	var out strings.Builder
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir)
		name, rest, _ := strings.Cut(c, "\n")
		out.WriteString(name + "\n")
		for line := range strings.Lines(rest) {
			line = strings.TrimSuffix(line, "\n")
			if line == "" || strings.HasPrefix(line, "> ") {
				continue
			}
			out.WriteString(line + "\n")
			switch {
			case line == "show":
				w.flush()
				for text := range strings.Lines(w.String()) {
					out.WriteString("> " + text)
				}
			case !strings.HasPrefix(line, "#"):
				w.do(line)
			}
		}
		w.halt()
	})
	return out.String() + "\n"
}
