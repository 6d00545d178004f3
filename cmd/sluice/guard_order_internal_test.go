package main

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/warden"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// siteWith is a configuration of node gw, and of another one.
func siteWith(t *testing.T, dir string, monitoring string) {
	t.Helper()
	site := fmt.Sprintf(`gateway { site = "s" }
node "gw" { monitoring_points = %s }
node "other" {}
receiver "udp" "syslog" {
  node = node.gw
  port = 5514
  config { protocol = "syslog" }
}
sink "file" "records" {
  node = node.gw
  config { path = "records.ndjson" }
}
route "all" {
  from = [receiver.udp.syslog]
  to   = [sink.file.records]
}
`, monitoring)
	if err := os.WriteFile(filepath.Join(dir, "site.hcl"), []byte(site), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRootOrdersLess has a real warden that does not serve root: root may order less all the same.
func TestRootOrdersLess(t *testing.T) {
	lab := netlab.Isolate(t)
	if lab == nil {
		return
	}
	peer := lab.Namespace("peer")
	for i := range 2 {
		lab.Cable(netlab.End{In: peer, Name: fmt.Sprintf("eth%d", i)}, netlab.End{In: lab.Self(), Name: fmt.Sprintf("mon%d", i), Addrs: []netip.Prefix{}})
	}
	program, state, dir := program(t), shortDir(t), t.TempDir()
	runWarden(t, program, state, "--uid", "65534")
	order := func(args ...string) (string, error) {
		return sluice(t, append([]string{"guard", "order", "--config", dir, "--state", state, "--log-level", "info"}, args...)...)
	}
	siteWith(t, dir, `["mon0", "mon1"]`)
	if out, err := order("--node", "gw"); err != nil || !strings.Contains(out, "monitoring mon0, mon1") || strings.Contains(out, "less") {
		t.Fatalf("%v\n%s", err, out)
	}
	o := askOptions{state: state}
	err := o.withWarden(t.Context(), "gw", func(ctx context.Context, c *warden.Client) error { // as the node would, which knows its plugins
		return c.Order(ctx, guard.Policy{Node: "gw", Monitoring: []string{"mon0", "mon1"}, Ports: []guard.Port{{Network: "udp", Port: 5514}, {Network: "tcp", Port: 5515}}})
	})
	if err != nil {
		t.Fatal(err)
	}
	siteWith(t, dir, `["mon0"]`)
	out, err := order("--node", "gw", "--json")
	for _, want := range []string{`"nothing would stand before mon1 any more (monitoring)"`, `"tcp port 5515 would not be dropped`} {
		if err != nil || !strings.Contains(out, want) || strings.Contains(out, "udp port 5514") {
			t.Errorf("%v\n%s", err, out)
		}
	}
	if rules := lab.Self().Run("nft", "list", "ruleset"); strings.Contains(rules, "mon1") || !strings.Contains(rules, "mon0") || !strings.Contains(rules, "5514") {
		t.Error(rules)
	}
	if _, err := order("--all-nodes"); err == nil || !strings.Contains(err.Error(), "say which with --node: gw, other") {
		t.Error(err)
	}
	if err := os.Chmod(filepath.Join(dir, "site.hcl"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := order("--node", "gw"); err == nil || !strings.Contains(err.Error(), "is writable by others") {
		t.Error(err)
	}
	if out, err := sluice(t, "guard", "release", "--reason", "it ends", "--state", state); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestOnlyRootWrites(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: no file can be given to others")
	}
	for name, c := range map[string]struct {
		spoil func(dir string) error
		want  string
	}{
		"root's":                    {func(string) error { return nil }, ""},
		"a file of others":          {func(dir string) error { return os.Chown(filepath.Join(dir, "c", "site.hcl"), 65534, 0) }, "site.hcl belongs to user 65534"},
		"a directory of others":     {func(dir string) error { return os.Chown(filepath.Join(dir, "c"), 65534, 0) }, "c belongs to user 65534"},
		"a directory above":         {func(dir string) error { return os.Chown(dir, 65534, 0) }, "belongs to user 65534"},
		"a file that all may write": {func(dir string) error { return os.Chmod(filepath.Join(dir, "c", "site.hcl"), 0o602) }, "writable by others"},
		"a sticky directory":        {func(dir string) error { return os.Chmod(filepath.Join(dir, "c"), 0o777|os.ModeSticky) }, "writable by others"},
		"a sticky directory above":  {func(dir string) error { return os.Chmod(dir, 0o777|os.ModeSticky) }, ""},
		"a group":                   {func(dir string) error { return os.Chown(filepath.Join(dir, "c", "site.hcl"), 0, 65534) }, "writable by others"},
		"nothing that is read":      {func(dir string) error { return os.Symlink("gone", filepath.Join(dir, "c", ".#site.hcl")) }, ""},
		"a link to others": {func(dir string) error {
			other := filepath.Join(t.TempDir(), "x")
			return cmp.Or(os.WriteFile(other, nil, 0o600), os.Chown(other, 65534, 0), os.Symlink(other, filepath.Join(dir, "c", "z.hcl")))
		}, "x belongs to user 65534"},
		"nothing there": {func(dir string) error { return os.RemoveAll(filepath.Join(dir, "c")) }, "no such file"},
	} {
		dir := t.TempDir()
		err := cmp.Or(os.Mkdir(filepath.Join(dir, "c"), 0o700), os.WriteFile(filepath.Join(dir, "c", "site.hcl"), nil, 0o600),
			os.Chmod(filepath.Join(dir, "c", "site.hcl"), 0o660), c.spoil(dir))
		if err != nil {
			t.Fatal(err)
		}
		err = onlyRootWrites(filepath.Join(dir, "c"))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
