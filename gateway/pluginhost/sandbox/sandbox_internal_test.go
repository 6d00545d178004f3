package sandbox

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSpecTravels(t *testing.T) {
	s := &Spec{
		Name: "sluice-sink-file", Without: []string{Landlock}, UID: 998, GID: Stay, Processes: 7,
		Paths: []Path{{Source: "/a", Target: "/b", Use: Write}},
	}
	raw, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Receive(bytes.NewReader(raw))
	if err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("%+v, %v", got, err)
	}
	if s.has(Landlock) || !s.has(Filter) {
		t.Error("has")
	}
}

func TestSpecBounds(t *testing.T) {
	many := &Spec{Paths: make([]Path, maxPaths+1)}
	if _, err := many.Encode(); err == nil || !strings.Contains(err.Error(), "allow a directory instead of its files") {
		t.Errorf("many: %v", err)
	}
	long := &Spec{Name: strings.Repeat("x", maxSpec)}
	if _, err := long.Encode(); err == nil {
		t.Error("long: no error")
	}
	for name, c := range map[string]struct{ in, want string }{
		"nothing": {"", "the gateway has ended"},
		"cut":     {`{"Name":"x"`, "unexpected end of JSON input"},
		"endless": {strings.Repeat(" ", maxSpec+2), "sandbox: "},
	} {
		if _, err := Receive(strings.NewReader(c.in)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReceive(f *testing.F) {
	f.Add([]byte(`{"Name":"x","UID":-1,"Paths":[{"Source":"/","Target":"/","Use":"read"}]}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := Receive(bytes.NewReader(raw))
		if (s == nil) == (err == nil) {
			t.Errorf("%v, %v", s, err)
		}
	})
}

func TestHandled(t *testing.T) {
	const first = 1<<13 - 1 // the rights of version 1
	for version, want := range map[int]unix.LandlockRulesetAttr{
		1: {Handled_access_fs: first},
		2: {Handled_access_fs: first | 1<<13},
		3: {Handled_access_fs: first | 1<<13 | 1<<14},
		4: {Handled_access_fs: first | 1<<13 | 1<<14, Handled_access_net: 3},
		5: {Handled_access_fs: first | 1<<13 | 1<<14 | 1<<15, Handled_access_net: 3},
		6: {Handled_access_fs: first | 1<<13 | 1<<14 | 1<<15, Handled_access_net: 3, Scoped: 3},
		9: {Handled_access_fs: first | 1<<13 | 1<<14 | 1<<15, Handled_access_net: 3, Scoped: 3},
	} {
		if got := handled(version); got != want {
			t.Errorf("version %d: %+v", version, got)
		}
	}
}

// TestRights: no use has a right that would let a plugin set a trap for what reads the directory.
func TestRights(t *testing.T) {
	const traps = unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR |
		unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK
	for use, rights := range map[Use]uint64{Read: readRights, Write: writeRights, Sockets: socketRights, Library: libraryRights} {
		if rights&traps != 0 {
			t.Errorf("%s: %#x", use, rights&traps)
		}
		if use != Library && rights&unix.LANDLOCK_ACCESS_FS_EXECUTE != 0 {
			t.Errorf("%s may execute", use)
		}
	}
}

func TestOpenPathFollowsNothing(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	fd, err := openPath(filepath.Join(dir, "real"))
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(fd)
	if _, err := openPath(filepath.Join(dir, "link")); !errors.Is(err, unix.ELOOP) {
		t.Errorf("link: %v", err)
	}
}

func TestMakePoint(t *testing.T) {
	dir := t.TempDir()
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root) //nolint:errcheck // a test's
	for range 2 {          // what exists is no error
		if err := makePoint(root, "a/b/dir", true); err != nil {
			t.Fatal(err)
		}
		if err := makePoint(root, "a/c/file", false); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "a/b/dir")); err != nil || !info.IsDir() {
		t.Errorf("dir: %v", err)
	}
	if info, err := os.Stat(filepath.Join(dir, "a/c/file")); err != nil || !info.Mode().IsRegular() {
		t.Errorf("file: %v", err)
	}
	if err := makePoint(root, "a/c/file/below", true); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("below a file: %v", err)
	}
}

func TestReport(t *testing.T) {
	if got, want := (Report{Layer: Landlock, Reason: "no"}).Line(), `{"Layer":"landlock","Reason":"no"}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	err := &LayerError{Layer: Filter, Err: unix.EINVAL}
	if !errors.Is(err, unix.EINVAL) || !strings.HasPrefix(err.Error(), "system call filter: ") {
		t.Errorf("%v", err)
	}
}
