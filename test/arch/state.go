package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// State forbids init functions and package-level variables that change.
// Errors, tables, compiled expressions, embedded files and assertions of
// interfaces are allowed; so is what a line explains with
// "//nolint:gochecknoglobals // reason".
func State(t *Tree) []string {
	var problems []string
	for _, f := range t.goFiles() {
		if f.generated() {
			continue
		}
		excused := t.excused(f)
		for _, d := range f.Go.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" {
					problems = append(problems, t.at(d.Pos())+": func init: let the caller pass what it sets up")
				}
			case *ast.GenDecl:
				problems = append(problems, t.variables(f, d, excused)...)
			}
		}
	}
	return problems
}

func (t *Tree) excused(f File) map[int]bool {
	lines := map[int]bool{}
	for _, group := range f.Go.Comments {
		for _, c := range group.List {
			if strings.HasPrefix(c.Text, "//nolint:gochecknoglobals //") {
				lines[t.set.Position(c.Pos()).Line] = true
			}
		}
	}
	return lines
}

func (t *Tree) variables(f File, d *ast.GenDecl, excused map[int]bool) []string {
	if d.Tok != token.VAR {
		return nil
	}
	var problems []string
	for _, s := range d.Specs {
		spec := s.(*ast.ValueSpec)
		if excused[t.set.Position(spec.Pos()).Line] || embedded(d, spec) || linked(f, spec) {
			continue
		}
		for i, name := range spec.Names {
			if name.Name == "_" || (i < len(spec.Values) && settled(f, name.Name, spec.Values[i])) {
				continue
			}
			problems = append(problems, fmt.Sprintf("%s: package-level variable %s can change: make it a field or a parameter", t.at(name.Pos()), name.Name))
		}
	}
	return problems
}

// embedded reports a variable that the compiler fills from files.
func embedded(d *ast.GenDecl, spec *ast.ValueSpec) bool {
	for _, doc := range []*ast.CommentGroup{d.Doc, spec.Doc} {
		if doc == nil {
			continue
		}
		for _, c := range doc.List {
			if strings.HasPrefix(c.Text, "//go:embed ") {
				return true
			}
		}
	}
	return false
}

// linked reports the version of a program, which the linker writes.
func linked(f File, spec *ast.ValueSpec) bool {
	return f.Go.Name.Name == "main" && len(spec.Names) == 1 && spec.Names[0].Name == "version"
}

// settled reports a variable that keeps the value it is declared with. Beside
// constants these are errors with fields, and flags of a test binary.
func settled(f File, name string, v ast.Expr) bool {
	if u, ok := v.(*ast.UnaryExpr); ok && u.Op == token.AND {
		return strings.HasPrefix(strings.ToLower(name), "err")
	}
	if call, ok := v.(*ast.CallExpr); ok && f.isTest() && strings.HasPrefix(types.ExprString(call.Fun), "flag.") {
		return true
	}
	return constant(v)
}

// constant reports a value that is a table, a function or the result of a
// constructor whose result nobody writes to.
func constant(v ast.Expr) bool {
	switch v := v.(type) {
	case *ast.CompositeLit, *ast.FuncLit:
		return true
	case *ast.CallExpr:
		return slices.Contains(constructors(), types.ExprString(v.Fun))
	}
	return false
}
