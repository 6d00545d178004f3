package pairing

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Errors that somebody decides on.
var (
	// ErrExists: a file of this side and name is there; it is left as it is.
	ErrExists = errors.New("exists already")
	// ErrMissing: there is no such pairing. It wraps fs.ErrNotExist.
	ErrMissing = fmt.Errorf("no such pairing: %w", fs.ErrNotExist)
	// ErrExposed: someone beside the owner may read the file.
	ErrExposed = errors.New("readable by others")
)

// maxListed bounds the files that List reads (ours).
const maxListed = 1024

// Path is where a side's file lies below dir, which is "keys" in the state
// directory of a node.
func Path(dir string, side Side, diode, pairing string) string {
	return filepath.Join(dir, diode+"-"+pairing+suffix(side))
}

func suffix(side Side) string { return "." + string(side) + ".json" }

// Write puts a file below dir, which is made when missing, mode 0600 and whole
// or not at all, and returns its path. One that is there is never overwritten:
// the error is then ErrExists.
func Write(dir string, f File) (string, error) {
	b, err := f.encode()
	if err != nil {
		return "", fmt.Errorf("pairing: %w", err)
	}
	path := Path(dir, f.Side, f.Diode, f.Pairing)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("pairing: %w", err)
	}
	err = writeOnce(path, b)
	if errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("pairing: %s: %w: choose another name for the new pairing; keys are never overwritten", path, ErrExists)
	}
	if err != nil {
		return "", fmt.Errorf("pairing: %w", err)
	}
	return path, nil
}

// Load reads and checks the file at path.
func Load(path string) (File, error) {
	b, err := readPrivate(path)
	if err != nil {
		return File{}, fmt.Errorf("pairing: %w", err)
	}
	f, err := parse(b)
	if err != nil {
		return File{}, fmt.Errorf("pairing: %s: %w", path, err)
	}
	return f, nil
}

// Find reads the file of one side below dir and makes sure that it is the one
// that was asked for.
func Find(dir string, side Side, diode, pairing string) (File, error) {
	if err := checkNames(diode, pairing); err != nil {
		return File{}, fmt.Errorf("pairing: %w", err)
	}
	path := Path(dir, side, diode, pairing)
	f, err := Load(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return File{}, fmt.Errorf("pairing: %s: %w: run `sluice diode pair %s --pairing %s --out DIR` once, carry the file that ends in %s to this node, and there run `sluice diode pair --install FILE`",
			path, ErrMissing, diode, pairing, suffix(side))
	case err != nil:
		return File{}, err
	case f.Side != side:
		return File{}, fmt.Errorf("pairing: %s: made for the %s side, this is the %s side: carry the file that ends in %s here", path, f.Side, side, suffix(side))
	case f.Diode != diode || f.Pairing != pairing:
		return File{}, fmt.Errorf("pairing: %s: holds pairing %q of diode %q, expected %q of %q: was it renamed?", path, f.Pairing, f.Diode, pairing, diode)
	}
	return f, nil
}

// Found is one file of List.
type Found struct {
	Path string
	File File  // when Err is nil
	Err  error // why it cannot be used
}

// List reads all pairing files below dir whose name begins with that of the
// diode and which belong to it, in the order of their names; those that cannot
// be read stand among them with their error. No directory is no pairing.
func List(dir, diode string) ([]Found, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("pairing: %w", err)
	}
	var found []Found
	for _, e := range entries {
		name := e.Name()
		ours := strings.HasSuffix(name, suffix(Send)) || strings.HasSuffix(name, suffix(Receive))
		if !ours || !strings.HasPrefix(name, diode+"-") {
			continue
		}
		if len(found) == maxListed {
			return found, fmt.Errorf("pairing: %s: more than %d pairings: remove those that are no longer used", dir, maxListed)
		}
		x := Found{Path: filepath.Join(dir, name)}
		x.File, x.Err = Load(x.Path)
		if x.Err == nil && x.File.Diode != diode {
			continue // of a diode whose name goes on where this one ends
		}
		found = append(found, x)
	}
	return found, nil
}

// readPrivate reads a small file that only its owner may open.
func readPrivate(path string) ([]byte, error) {
	st, err := os.Lstat(path) // before it is opened: opening a pipe would wait
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	if st, err = f.Stat(); err != nil {
		return nil, err
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: %w (mode %04o): run chmod 600 on it, and make a new pairing if someone may have read it", path, ErrExposed, st.Mode().Perm())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

// writeOnce makes a private file that is whole or not there, and leaves one
// that is there as it is.
func writeOnce(path string, content []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // linked by now, or of no use
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
