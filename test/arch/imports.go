package arch

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Imports holds the tree to the import table.
func Imports(t *Tree) []string {
	return t.eachImport(func(f File, path string) string {
		target, ours := strings.CutPrefix(path, module)
		if !ours {
			return ""
		}
		return forbidden(f, target)
	})
}

// Fences holds third-party libraries in their folders.
func Fences(t *Tree) []string {
	return t.eachImport(func(f File, path string) string {
		for _, fence := range fences() {
			if !within(path, fence.library) || slices.ContainsFunc(fence.folders, func(d string) bool { return within(f.dir(), d) }) {
				continue
			}
			return fmt.Sprintf("%s belongs only in %s", fence.library, strings.Join(fence.folders, ", "))
		}
		return ""
	})
}

// eachImport calls judge for every import, in the order of the files.
func (t *Tree) eachImport(judge func(f File, path string) string) []string {
	var problems []string
	for _, f := range t.goFiles() {
		for _, spec := range f.Go.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue // the parser accepted it: cannot happen
			}
			if problem := judge(f, path); problem != "" {
				problems = append(problems, t.at(spec.Pos())+": "+problem)
			}
		}
	}
	return problems
}

// forbidden says why f may not import the folder target, or nothing.
func forbidden(f File, target string) string {
	r, ok := roomOf(f.dir())
	if !ok {
		return "folder " + f.dir() + " is in no room of the import table: add it to test/arch/table.go"
	}
	if sameRoom(r, f.dir(), target) {
		return ""
	}
	may := r.may
	if f.isTest() {
		may = append(slices.Clone(may), testsMay()...)
	}
	for _, allowed := range may {
		if within(target, allowed) {
			return ""
		}
	}
	return fmt.Sprintf("%s may import, of ours, only itself and %s; not %s", r.folder, orNothing(may), target)
}

// sameRoom reports whether target lies in the room that dir lies in.
func sameRoom(r room, dir, target string) bool {
	if !within(target, r.folder) {
		return false
	}
	if !r.apart {
		return true
	}
	return below(r.folder, dir) == below(r.folder, target)
}

// below returns the folder directly under room that dir lies in.
func below(room, dir string) string {
	rest := strings.TrimPrefix(strings.TrimPrefix(dir, room), "/")
	first, _, _ := strings.Cut(rest, "/")
	return first
}

func roomOf(dir string) (room, bool) {
	best, found := room{}, false
	for _, r := range rooms() {
		if within(dir, r.folder) && len(r.folder) > len(best.folder) {
			best, found = r, true
		}
	}
	return best, found
}

func orNothing(may []string) string {
	if len(may) == 0 {
		return "nothing"
	}
	return strings.Join(may, ", ")
}
