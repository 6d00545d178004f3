package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sluice-gateway/sluice/hcl/config"
)

func TestFormat(t *testing.T) {
	for _, x := range []struct{ name, in, out string }{
		{"aligned", "node \"n\" {\n a=1\n   longer   = 2 # c\n}\n\n\n", "node \"n\" {\n  a      = 1\n  longer = 2 # c\n}\n"},
		{"no newline", "a = 1", "a = 1\n"},
		{"empty", "\n\n", ""},
		{"broken", "node \"n\" {\n", "node \"n\" {\n"},
	} {
		if got := string(config.Format([]byte(x.in))); got != x.out {
			t.Errorf("%s: %q", x.name, got)
		}
		if got := config.Format([]byte(x.out)); string(got) != x.out {
			t.Errorf("%s: formatting twice gives %q", x.name, got)
		}
	}
}

func TestFormatDir(t *testing.T) {
	const crooked, straight = "node \"n\" {\n a=1\n}\n", "node \"n\" {\n  a = 1\n}\n"
	dir := writeDir(t, map[string]string{"a.hcl": crooked, "b.hcl": straight, "c.hcl.json": "{ }", "d.hcl~": crooked})
	path := filepath.Join(dir, "a.hcl")
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		write bool
		want  []string
		text  string
	}{
		{false, []string{path}, crooked},
		{true, []string{path}, straight},
		{true, nil, straight},
	} {
		changed, err := config.FormatDir(dir, x.write)
		if err != nil || !slices.Equal(changed, x.want) {
			t.Errorf("write %t: %v %v", x.write, changed, err)
		}
		if got, _ := os.ReadFile(path); string(got) != x.text {
			t.Errorf("write %t: %q", x.write, got)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".fmt-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := config.FormatDir(filepath.Join(dir, "missing"), true); err == nil {
		t.Error("a missing directory is no error")
	}
}
