package gateway

import (
	"errors"
	"fmt"
	"os"
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
