//go:build linux

package warden

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

// coreUID is whom the warden of these tests serves: nobody on Debian.
const coreUID = 65534

// core asks as the user of the core does, in a process of its own, and returns
// what it was answered; nothing when it was done.
func (p *plant) core(verb string, policy guard.Policy) string {
	p.t.Helper()
	body, err := json.Marshal(policy)
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.CommandContext(p.t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), roleEnv+"=core", "SOCKET="+p.spawn.Socket, "VERB="+verb, "POLICY="+string(body))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: coreUID, Gid: coreUID}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("%v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestCoreMayOnlyAddGuarding(t *testing.T) {
	p := newPlant(t, 2)
	if p == nil {
		return
	}
	p.end()
	p.spawn.UID = coreUID
	p.start()
	dir := filepath.Dir(p.spawn.Socket)
	for _, d := range []string{dir, filepath.Dir(dir)} { // the core's user must get as far as the socket
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	one, both := guard.Policy{Node: "plant", Monitoring: []string{"mon0"}}, guard.Policy{Node: "plant", Monitoring: []string{"mon0", "mon1"}}
	for _, policy := range []guard.Policy{one, both} { // nothing was in force, and then less
		if got := p.core(verbOrder, policy); got != "" {
			t.Errorf("refused: %s", got)
		}
	}
	p.whole(2)
	seen := p.peer.Watch("eth1")
	for _, c := range []struct {
		verb string
		want []string
	}{
		{verbOrder, []string{"*warden.WeakerError", "nothing would stand before mon1 any more (monitoring)", "sudo sluice guard order --config DIR --node plant"}},
		{verbReset, []string{"*warden.RootError", "user 65534 may not reset, only root may: sudo sluice guard reset --reason TEXT"}},
		{verbRelease, []string{"*warden.RootError", "user 65534 may not release"}},
	} {
		got := p.core(c.verb, one)
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q has no %q", c.verb, got, want)
			}
		}
	}
	p.stands("mon0", "mon1")
	if r, err := p.client.Test(t.Context()); err != nil || len(r.Probes) != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	if n := seen.Count(); n != 0 {
		t.Errorf("%d frames left by mon1", n)
	}

	p.order("mon0") // root
	p.whole(1)
	if rules := p.ruleset(); strings.Contains(rules, "mon1") {
		t.Errorf("root's order left it:\n%s", rules)
	}
	if got := p.core(verbOrder, both); got != "" {
		t.Errorf("more is refused: %s", got)
	}
	p.whole(2)
	p.stands("mon0", "mon1")
}

// stands looks for both drops with the programs of others.
func (p *plant) stands(interfaces ...string) {
	p.t.Helper()
	rules := p.ruleset()
	for _, name := range interfaces {
		if !strings.Contains(rules, name) || p.filters(name) == 0 {
			p.t.Errorf("%s: %d filters, and\n%s", name, p.filters(name), rules)
		}
	}
}
