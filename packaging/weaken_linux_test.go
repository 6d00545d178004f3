package packaging_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// weakened takes the monitoring point out of the configuration: the gateway's
// user can have nothing less guarded by that, a restart by root can.
func weakened(t *testing.T, m *machine, p plant) {
	t.Helper()
	less := strings.Replace(configuration, `monitoring_points  = ["mon0"]`, "", 1)
	if err := os.MkdirAll(filepath.Join(m.root, "srv/less"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(m.root, "srv/less/site.hcl"), less, 0o644)
	core := func(args ...string) (string, error) {
		return m.try(append([]string{"setpriv", "--reuid=sluice", "--regid=sluice", "--clear-groups", "sluice", "guard"}, args...)...)
	}
	out, err := core("order", "--config", "/srv/less", "--warden", "/run/sluice/guard.sock")
	if err == nil || !strings.Contains(out, "nothing would stand before mon0 any more (monitoring)") || !strings.Contains(out, "sudo sluice guard order") {
		t.Errorf("%v: %s", err, out)
	}
	for _, verb := range []string{"reset", "release"} {
		out, err := core(verb, "--reason", "taken over", "--warden", "/run/sluice/guard.sock")
		if err == nil || verb == "reset" && !strings.Contains(out, "may not reset, only root may") {
			t.Errorf("%s: %v: %s", verb, err, out)
		}
	}
	silence(t, m, p)

	m.run("sluice", "guard", "reset", "--reason", "looked at it")
	if log := m.run("sluice", "audit", "show", "--what", "reset"); !strings.Contains(log, "looked at it") {
		t.Errorf("a reset by root is not in the audit log:\n%s", log)
	}

	site := filepath.Join(m.root, "etc/sluice/conf.d/site.hcl")
	write(t, site, less, 0o644)
	m.run("systemctl", "restart", "sluice.service")
	m.await("the node to be ready", m.ready)
	if rules := m.run("nft", "list", "ruleset"); strings.Contains(rules, monitoringName) {
		t.Errorf("root's order left it:\n%s", rules)
	}
	if said := m.journal(); !strings.Contains(said, "less than before: nothing would stand before mon0") || !strings.Contains(said, "less is guarded by this order") {
		t.Errorf("nobody is told:\n%s", said)
	}
	m.arrives(p, "while nothing is monitored")

	write(t, site, configuration, 0o644)
	m.run("systemctl", "restart", "sluice.service")
	m.await("the node to be ready", m.ready)
	m.await("the guard's word", m.guarded)
	silence(t, m, p)
}
