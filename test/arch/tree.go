package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// File is one file of the tree. Path has slashes and no leading dot.
type File struct {
	Path string
	Data []byte
	Go   *ast.File // nil unless it is a Go file
}

// Tree is everything that belongs to the project.
type Tree struct {
	Files []File
	set   *token.FileSet
}

// Read reads the tree. What git leaves out (bin, var, dist) and folders that
// begin with a dot, except .ci, do not belong to it.
func Read(fsys fs.FS) (*Tree, error) {
	t := &Tree{set: token.NewFileSet()}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if skipped(name) {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		return t.add(fsys, name)
	})
	return t, err
}

func skipped(dir string) bool {
	base := path.Base(dir)
	return slices.Contains([]string{"bin", "var", "dist"}, dir) || (len(base) > 1 && base[0] == '.' && base != ".ci")
}

func (t *Tree) add(fsys fs.FS, name string) error {
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	f := File{Path: name, Data: data}
	if strings.HasSuffix(name, ".go") && !inTestdata(name) {
		if f.Go, err = parser.ParseFile(t.set, name, data, parser.ParseComments|parser.SkipObjectResolution); err != nil {
			return fmt.Errorf("arch: %w", err)
		}
	}
	t.Files = append(t.Files, f)
	return nil
}

func inTestdata(name string) bool {
	return slices.Contains(strings.Split(name, "/"), "testdata")
}

func (f File) dir() string { return path.Dir(f.Path) }

func (f File) isTest() bool { return strings.HasSuffix(f.Path, "_test.go") }

func (f File) generated() bool { return f.Go != nil && ast.IsGenerated(f.Go) }

func (f File) lines() int { return bytes.Count(f.Data, []byte("\n")) }

// goFiles returns the Go files of the tree.
func (t *Tree) goFiles() []File {
	var out []File
	for _, f := range t.Files {
		if f.Go != nil {
			out = append(out, f)
		}
	}
	return out
}

// packages groups the Go files by folder.
func (t *Tree) packages() map[string][]File {
	out := map[string][]File{}
	for _, f := range t.goFiles() {
		out[f.dir()] = append(out[f.dir()], f)
	}
	return out
}

// at prints a place in a file.
func (t *Tree) at(pos token.Pos) string {
	p := t.set.Position(pos)
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// within reports whether a path is a folder or lies in it.
func within(name, folder string) bool {
	return name == folder || strings.HasPrefix(name, folder+"/")
}
