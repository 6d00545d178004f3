package arch

import (
	"fmt"
	"go/ast"
	"maps"
	"path"
	"slices"
	"strings"
)

// Documents wants one package document per folder: in doc.go, or in main.go
// for a program.
func Documents(t *Tree) []string {
	var problems []string
	packages := t.packages()
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		var documents []string
		want := "doc.go"
		for _, f := range packages[dir] {
			if f.Go.Name.Name == "main" {
				want = "main.go"
			}
			if f.Go.Doc != nil && !f.generated() {
				documents = append(documents, path.Base(f.Path))
			}
		}
		switch {
		case len(documents) == 0:
			problems = append(problems, fmt.Sprintf("%s: no package document: say in %s what it does and what it must not do", dir, want))
		case len(documents) > 1:
			problems = append(problems, fmt.Sprintf("%s: package documents in %s: keep one", dir, strings.Join(documents, ", ")))
		case documents[0] != want && documents[0] != "doc.go":
			problems = append(problems, fmt.Sprintf("%s: the package document stands in %s: move it to %s", dir, documents[0], want))
		}
	}
	return problems
}

// Names wants folders named by what is inside, and packages named like their
// folders.
func Names(t *Tree) []string {
	var problems []string
	packages := t.packages()
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		base := path.Base(dir)
		if slices.Contains(vagueNames(), base) {
			problems = append(problems, dir+": a folder of that name may hold anything: name it by what it does")
		}
		want := strings.ReplaceAll(base, "-", "")
		for _, f := range packages[dir] {
			got := strings.TrimSuffix(f.Go.Name.Name, "_test")
			if got != "main" && got != want {
				problems = append(problems, fmt.Sprintf("%s: package %s in folder %s: name it %s", f.Path, got, base, want))
			}
		}
	}
	return problems
}

// Sizes bounds files and functions. Generated code is left out, and the
// functions of tests: their tables are data.
func Sizes(t *Tree) []string {
	var problems []string
	for _, f := range t.goFiles() {
		if f.generated() {
			continue
		}
		if n := f.lines(); n > maxFileLines {
			problems = append(problems, fmt.Sprintf("%s: %d lines, at most %d: split it by duty", f.Path, n, maxFileLines))
		}
		if !f.isTest() {
			problems = append(problems, t.longFunctions(f)...)
		}
	}
	return problems
}

func (t *Tree) longFunctions(f File) []string {
	var problems []string
	for _, d := range f.Go.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		n := t.set.Position(fn.Body.Rbrace).Line - t.set.Position(fn.Pos()).Line - 1
		if n > maxFunctionLines {
			problems = append(problems, fmt.Sprintf("%s: %s has %d lines, at most %d", t.at(fn.Pos()), fn.Name.Name, n, maxFunctionLines))
		}
	}
	return problems
}
