package arch

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// Leftovers forbids notes to oneself and paths of one machine.
func Leftovers(t *Tree) []string {
	var problems []string
	for _, f := range t.Files {
		if inTestdata(f.Path) || !utf8.Valid(f.Data) {
			continue
		}
		n := 0
		for line := range bytes.Lines(f.Data) {
			n++
			for _, word := range leftovers() {
				if bytes.Contains(line, []byte(word)) {
					problems = append(problems, fmt.Sprintf("%s:%d: %q has no place here", f.Path, n, word))
				}
			}
		}
	}
	return problems
}

// Modules forbids replace directives: what is built must be what go.sum names.
func Modules(t *Tree) []string {
	var problems []string
	for _, f := range t.Files {
		if path.Base(f.Path) != "go.mod" {
			continue
		}
		for line := range strings.Lines(string(f.Data)) {
			if fields := strings.Fields(line); len(fields) > 0 && fields[0] == "replace" {
				problems = append(problems, f.Path+": replace: depend on a released version instead")
			}
		}
	}
	return problems
}

// examplesDir holds the configurations that operators copy.
const examplesDir = "hcl/examples"

// Examples wants a test beside the examples that loads every folder: either
// it names the folder, or it lists the folders itself.
func Examples(t *Tree) []string {
	var tests []byte
	var dirs []string
	for _, f := range t.Files {
		if f.dir() == examplesDir && f.isTest() {
			tests = append(tests, f.Data...)
		}
		isConfig := strings.HasSuffix(f.Path, ".hcl") || strings.HasSuffix(f.Path, ".hcl.json")
		if isConfig && path.Dir(f.dir()) == examplesDir && !slices.Contains(dirs, path.Base(f.dir())) {
			dirs = append(dirs, path.Base(f.dir()))
		}
	}
	if bytes.Contains(tests, []byte("os.ReadDir(\".\")")) {
		return nil
	}
	var problems []string
	for _, dir := range dirs {
		if !bytes.Contains(tests, []byte(dir)) {
			problems = append(problems, fmt.Sprintf("%s/%s: no test loads this example", examplesDir, dir))
		}
	}
	return problems
}
