package gateway

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// privateDir makes a directory that only its owner may enter, and takes everybody else's permission away from one that
// is there already, whatever the umask was.
func privateDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() == 0o700 {
		return err
	}
	if err := os.Chmod(path, 0o700); err != nil {
		return fmt.Errorf("mode %04o, and it cannot be made private: %w", st.Mode().Perm(), err)
	}
	return nil
}

// syncDir makes names in a directory durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// writeOnce makes a private file that is whole or not there, and leaves one that is there as it is.
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
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncDir(dir)
}
