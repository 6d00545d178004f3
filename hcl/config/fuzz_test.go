package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sluice-gateway/sluice/hcl/config"
)

// FuzzLoad loads arbitrary bytes as the native and as the JSON form. Nothing may panic, hang or grow; what loads is also
// checked and viewed, and every problem can be printed.
func FuzzLoad(f *testing.F) {
	seeds, err := filepath.Glob("testdata/*.hcl*")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range seeds {
		src, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src, strings.HasSuffix(path, ".json"))
	}
	f.Add([]byte("gateway {\n  site = \"\xff\"\n}\n\t\u0301=1.2.3.4"), false)
	f.Fuzz(func(t *testing.T, src []byte, isJSON bool) {
		name := "a.hcl"
		if isJSON {
			name = "a.hcl.json"
		}
		c, _, problems := config.LoadFS(fstest.MapFS{name: file(string(src))}, config.WithVersion("0.1.0"), today())
		if (c == nil) != problems.HasErrors() {
			t.Errorf("config %v with problems:\n%s", c, problems)
		}
		if c != nil {
			problems = append(problems, config.Check(c, traitsOf(c))...)
			for _, n := range c.Nodes {
				v := c.For(n.Name)
				checkGroups(t, v.Send, v.SendGroups())
				checkGroups(t, v.Receive, v.ReceiveGroups())
			}
		}
		for _, p := range problems {
			if p.Text == "" || p.Range.Filename == "" {
				t.Errorf("a problem without text or place: %+v", p)
			}
		}
		_ = problems.String()
	})
}

// FuzzFormat: formatting never panics, whatever it is given.
func FuzzFormat(f *testing.F) {
	f.Add([]byte("node \"n\" {\n a=1\n   longer   = 2 # c\n}\n\n\n"))
	f.Add([]byte("a = <<EOT\n x\nEOT\n"))
	f.Fuzz(func(_ *testing.T, src []byte) {
		if len(src) < 1<<16 {
			config.Format(src)
		}
	})
}

// checkGroups: every link is in one group, with all that carry what it carries.
func checkGroups(t *testing.T, links []config.LinkView, groups []config.GroupView) {
	t.Helper()
	grouped := 0
	for _, g := range groups {
		grouped += len(g.Links)
		for _, l := range g.Links {
			if l.Group != g.Name || !slices.Equal(l.Receivers, g.Receivers) {
				t.Errorf("diode %s of group %q carries %v, group %q carries %v", l.Diode.Name, l.Group, l.Receivers, g.Name, g.Receivers)
			}
		}
	}
	if grouped != len(links) {
		t.Errorf("%d links in groups, %d there are", grouped, len(links))
	}
}
