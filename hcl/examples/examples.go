package examples

import (
	"embed"
	"io/fs"
	"path"
)

//go:embed quickstart/*.hcl
var files embed.FS

// Quickstart returns the embedded quickstart as a directory of HCL files, for config.LoadFS.
func Quickstart() fs.FS { return directory("quickstart") }

// directory is one directory of the embedded files.
type directory string

// Open implements fs.FS.
func (d directory) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	return files.Open(path.Join(string(d), name))
}
