package spool

import (
	"io"
	"strings"
	"time"
)

// folder is a directory of its own on a memFS, which several share as their disk.
type folder struct {
	*memFS
	name string
	held *memFS // holds the lock only
}

func newFolder(disk *memFS, name string) *folder {
	return &folder{memFS: disk, name: name + "/", held: newMemFS()}
}

func (f *folder) lock() (io.Closer, error) { return f.held.lock() }

func (f *folder) list() (out []fileInfo, err error) {
	all, err := f.memFS.list()
	for _, info := range all {
		if name, ours := strings.CutPrefix(info.name, f.name); ours {
			info.name = name
			out = append(out, info)
		}
	}
	return out, err
}

func (f *folder) open(name string, flag int) (file, error) { return f.memFS.open(f.name+name, flag) }

func (f *folder) rename(from, to string) error          { return f.memFS.rename(f.name+from, f.name+to) }
func (f *folder) remove(name string) error              { return f.memFS.remove(f.name + name) }
func (f *folder) touch(name string, at time.Time) error { return f.memFS.touch(f.name+name, at) }
