package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format returns HCL source in canonical form: indentation, alignment, spaces. The meaning does not change, and source
// that cannot be parsed is only indented. Trailing empty lines are cut and the last line ends.
func Format(src []byte) []byte {
	out := bytes.TrimRight(hclwrite.Format(src), "\n\r\t ")
	if len(out) == 0 {
		return nil
	}
	return append(out, '\n')
}

// FormatDir formats the *.hcl files of a directory, or only tells which are not in canonical form when write is false.
// The paths of those files are returned in lexical order. A file is replaced by rename, so that a gateway that reads it
// at this moment sees the old text or the new one. The JSON form is left as it is; a file
// that cannot be parsed is an error and left as it is.
func FormatDir(dir string, write bool) (changed []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("fmt: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() || !relevant(e.Name()) || !strings.HasSuffix(e.Name(), ".hcl") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		differs, err := formatFile(path, write)
		if err != nil {
			return changed, fmt.Errorf("fmt: %w", err)
		}
		if differs {
			changed = append(changed, path)
		}
	}
	return changed, nil
}

func formatFile(path string, write bool) (differs bool, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	if info.Size() > maxFileBytes {
		return false, fmt.Errorf("%s: %w", path, errFileSize)
	}
	src, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	if p := refuseCostly(src, path); p != nil {
		return false, *p
	}
	if _, diags := hclsyntax.ParseConfig(src, path, hcl.InitialPos); diags.HasErrors() {
		d := diags[0] // the parser gives errors only, each with its place
		return false, fmt.Errorf("%s: %s; the file is left as it is", place(*d.Subject), d.Summary)
	}
	out := Format(src)
	if bytes.Equal(src, out) || !write {
		return !bytes.Equal(src, out), nil
	}
	return true, replace(path, out, info.Mode().Perm())
}

// replace writes a file beside the old one and renames it over it. The temporary name is one that Load passes over.
// A symbolic link stays one: its target is replaced.
func replace(path string, text []byte, mode os.FileMode) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".fmt-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
