package gateway

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// secretsIn looks up secret("NAME") in <dir>/NAME, a file that only its owner may read. Its content goes to the plugin
// that names it and nowhere else; errors name the file, never what it holds.
func secretsIn(dir string) func(name string) (string, error) {
	return func(name string) (string, error) {
		if name == "" || filepath.Base(name) != name || name[0] == '.' {
			return "", errors.New("a secret's name has no path in it")
		}
		path := filepath.Join(dir, name)
		st, err := os.Stat(path)
		if err != nil {
			return "", fmt.Errorf("put the secret into a file of that name, readable by its owner only: %w", err)
		}
		if st.Mode().Perm()&0o077 != 0 {
			return "", fmt.Errorf("%s is readable by others (mode %04o): run chmod 600 on it", path, st.Mode().Perm())
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		return strings.TrimRight(string(b), "\r\n"), nil
	}
}
