//go:build linux

package warden

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/internal/privilege"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// plant is a whole warden in a namespace of its own, with monitoring points
// whose other ends are in another one.
type plant struct {
	*netlab.Lab
	t      *testing.T
	peer   *netlab.Namespace
	spawn  Spawn
	client *Client
}

// newPlant cables that many monitoring points mon0 … and starts a warden. It
// returns nil in the process that only starts the isolated one.
func newPlant(t *testing.T, points int) *plant {
	t.Helper()
	lab := netlab.Isolate(t)
	if lab == nil {
		return nil
	}
	p := &plant{Lab: lab, t: t, peer: lab.Namespace("peer")}
	for i := range points {
		lab.Cable(netlab.End{In: p.peer, Name: fmt.Sprintf("eth%d", i)}, netlab.End{In: lab.Self(), Name: fmt.Sprintf("mon%d", i)})
	}
	dir := t.TempDir()
	p.spawn = Spawn{Program: "/proc/self/exe", Socket: filepath.Join(dir, "w.sock"), State: filepath.Join(dir, "state"), Node: "plant"}
	p.start()
	t.Cleanup(p.clean)
	return p
}

func (p *plant) start() {
	p.t.Helper()
	ctx, stop := context.WithTimeout(p.t.Context(), 20*time.Second)
	defer stop()
	if err := Start(ctx, p.spawn); err != nil {
		p.t.Fatal(err)
	}
	if p.client == nil {
		p.client = dial(p.t, p.spawn.Socket)
	}
}

// clean takes down what was built, and ends the warden, when one is there.
func (p *plant) clean() {
	if strings.Contains(p.client.Standing().Reason, ErrAway.Error()) {
		return
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(p.t.Context()), 5*time.Second)
	defer stop()
	if err := p.client.Release(ctx, By{Who: "test", Reason: "it ends"}); err != nil {
		p.t.Log(err)
	}
	if pid := p.client.Standing().PID; pid > 0 {
		_ = syscall.Kill(pid, syscall.SIGTERM)
	}
	if p.t.Failed() {
		log, _ := os.ReadFile(filepath.Join(p.spawn.State, logFile))
		p.t.Logf("log of the warden:\n%s", log)
	}
}

func (p *plant) pid() int {
	p.t.Helper()
	until(p.t, "the warden tells its process id", func() bool { return p.client.Standing().PID > 0 })
	return p.client.Standing().PID
}

func (p *plant) order(points ...string) {
	p.t.Helper()
	if err := p.client.Order(p.t.Context(), guard.Policy{Node: "plant", Monitoring: points}); err != nil {
		p.t.Fatal(err)
	}
}

// whole waits until that many barriers stand, both drops each.
func (p *plant) whole(barriers int) {
	p.t.Helper()
	until(p.t, fmt.Sprintf("%d whole barriers", barriers), func() bool {
		s := p.client.Standing()
		for _, b := range s.Barriers {
			if !standing(b.Egress) || !standing(b.Ingress) || len(b.Egress) != 2 {
				return false
			}
		}
		return s.Known && len(s.Barriers) == barriers
	})
}

func (p *plant) ruleset() string { return p.Self().Run("nft", "list", "ruleset") }

// filters counts the programs before an interface.
func (p *plant) filters(iface string) int {
	return strings.Count(p.Self().Run("tc", "filter", "show", "dev", iface, "egress"), "direct-action")
}

// kill ends the warden without a word, and waits until it is gone.
func (p *plant) kill() {
	p.t.Helper()
	pid := p.pid()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		p.t.Fatal(err)
	}
	until(p.t, "the warden is gone", func() bool {
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(state), ") Z ")
	})
}

func (p *plant) isUp(iface string) bool {
	flags := strings.TrimSpace(p.Self().Run("cat", "/sys/class/net/"+iface+"/flags"))
	n, err := strconv.ParseUint(flags, 0, 32)
	if err != nil {
		p.t.Fatal(err)
	}
	return n&syscall.IFF_UP != 0
}

func TestWardenIsKilled(t *testing.T) {
	p := newPlant(t, 2)
	if p == nil {
		return
	}
	p.order("mon0")
	p.whole(1)
	p.kill()
	if rules := p.ruleset(); !strings.Contains(rules, "sluice") {
		t.Errorf("the table went with the warden:\n%s", rules)
	}
	if p.filters("mon0") == 0 {
		t.Error("the filter went with the warden")
	}
	until(t, "unknown", func() bool { return !p.client.Standing().Known })
	before := p.peer.Watch("eth0")
	p.Self().Run("ip", "neighbour", "replace", "10.66.0.9", "lladdr", "02:00:00:00:00:09", "dev", "mon0")
	if n := before.Count(); n != 0 {
		t.Errorf("%d frames left while no warden ran", n)
	}
	began := time.Now()
	p.start()
	p.whole(1) // by the stored policy, without an order
	t.Logf("started anew to whole, as the client sees it: %s", time.Since(began).Round(time.Millisecond))
	began = time.Now()
	p.order("mon0", "mon1")
	t.Logf("order of another monitoring point: %s", time.Since(began).Round(time.Millisecond))
	p.whole(2)
	if log, err := os.ReadFile(filepath.Join(p.spawn.State, logFile)); err != nil || !strings.Contains(string(log), "taken over") {
		t.Errorf("the table was made anew: %v\n%s", err, log)
	}
}

func TestWardenPrivileges(t *testing.T) {
	p := newPlant(t, 1)
	if p == nil {
		return
	}
	p.order("mon0")
	threads, err := privilege.Threads(p.pid())
	if err != nil {
		t.Fatal(err)
	}
	keep := privilege.SetOf(needs(false)...)
	effective := privilege.SetOf(privilege.NetAdmin, privilege.BPF)
	if log, err := os.ReadFile(filepath.Join(p.spawn.State, logFile)); err != nil || strings.Contains(string(log), "built with cgo") {
		t.Log("built with cgo: CAP_NET_RAW stays effective; run with CGO_ENABLED=0")
		effective = keep
	}
	for _, s := range threads {
		if s.Permitted != keep || s.Bounding != keep || s.Effective != effective {
			t.Errorf("the warden has %s", s)
		}
	}
	f, err := p.client.Look(t.Context(), p.Self().Index("mon0"), "mon0")
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
}

func TestWardenIsStopped(t *testing.T) {
	p := newPlant(t, 1)
	if p == nil {
		return
	}
	p.order("mon0")
	p.whole(1)
	pid, began := p.pid(), time.Now()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	until(t, "unknown", func() bool { return !p.client.Standing().Known })
	t.Logf("unknown after %s", time.Since(began).Round(time.Millisecond))
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	p.whole(1)
}

func TestFilterIsRestored(t *testing.T) {
	p := newPlant(t, 1)
	if p == nil {
		return
	}
	p.order("mon0")
	p.whole(1)
	for range 3 {
		began := time.Now()
		p.Self().Run("tc", "qdisc", "del", "dev", "mon0", "clsact")
		until(t, "restored", func() bool { return p.filters("mon0") > 0 })
		t.Logf("tc qdisc del to restored: %s", time.Since(began).Round(time.Millisecond))
	}
	p.Self().Run("nft", "flush", "ruleset")
	if out, err := p.Self().Command(t.Context(), "nft", "delete", "table", "netdev", "sluice").CombinedOutput(); err == nil {
		t.Errorf("somebody else took the table away: %s", out)
	}
	if rules := p.ruleset(); !strings.Contains(rules, "sluice") {
		t.Errorf("the table is gone:\n%s", rules)
	}
	s := p.client.Standing()
	if len(s.Restored) == 0 || len(s.Trips) != 0 || !p.isUp("mon0") {
		t.Errorf("%+v", s)
	}
}

func TestSentBehindTheWardensBack(t *testing.T) {
	p := newPlant(t, 1)
	if p == nil {
		return
	}
	p.order("mon0")
	p.whole(1)
	p.kill()
	keeper, err := dialKeeper(t.Context(), filepath.Join(p.spawn.State, keeperSock))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(keeper.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	keeper.close()
	until(t, "the table is gone", func() bool { return !strings.Contains(p.ruleset(), "sluice") })
	p.Self().Run("tc", "qdisc", "del", "dev", "mon0", "clsact")
	seen := p.peer.Watch("eth0")
	if err := (opener{}).Probe(p.Self().Index("mon0"), 2); err != nil {
		t.Fatal(err)
	}
	until(t, "the frames are seen", func() bool { return seen.Count() >= 2 })
	p.start()
	until(t, "tripped", func() bool { return len(p.client.Standing().Trips) == 1 })
	until(t, "down", func() bool { return !p.isUp("mon0") })
	t.Log(p.client.Standing().Trips[0].Cause)

	p.kill()
	p.Self().Run("ip", "link", "set", "mon0", "up")
	p.start()
	until(t, "down again", func() bool { return !p.isUp("mon0") })
	if err := p.client.Reset(t.Context(), By{Who: "operator", Reason: "looked at it"}); err != nil {
		t.Fatal(err)
	}
	until(t, "up again", func() bool { return p.isUp("mon0") })
	p.whole(1)
	if s := p.client.Standing(); len(s.Trips) != 0 {
		t.Errorf("%+v", s.Trips)
	}
}

func TestMovedWhileUp(t *testing.T) {
	p := newPlant(t, 2)
	if p == nil {
		return
	}
	p.order("mon0", "mon1")
	p.whole(2)
	p.Self().Run("ip", "link", "set", "mon1", "netns", p.peer.Name)
	until(t, "tripped", func() bool {
		s := p.client.Standing()
		return len(s.Trips) == 1 && strings.Contains(s.Trips[0].Cause, "another network namespace")
	})
}

func TestSelfTest(t *testing.T) {
	p := newPlant(t, 1)
	if p == nil {
		return
	}
	p.order("mon0")
	p.whole(1)
	seen := p.peer.Watch("eth0")
	r, err := p.client.Test(t.Context())
	if err != nil || len(r.Probes) != 1 || !r.Probes[0].OK {
		t.Errorf("%+v, %v", r, err)
	}
	if n := seen.Count(); n != 0 {
		t.Errorf("%d frames of the test left", n)
	}
}

// TestWardenOfItsUser runs a warden as its unit does: not as root, with three
// capabilities.
func TestWardenOfItsUser(t *testing.T) {
	p := newPlant(t, 1)
	if p == nil {
		return
	}
	p.end()
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chown(dir, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	p.spawn.State, p.spawn.Socket = filepath.Join(dir, "state"), filepath.Join(dir, "w.sock")
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", Verb, "--socket", p.spawn.Socket, "--state", p.spawn.State, "--uid", "0")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential:  &syscall.Credential{Uid: 65534, Gid: 65534},
		AmbientCaps: []uintptr{uintptr(privilege.NetAdmin), uintptr(privilege.BPF), uintptr(privilege.NetRaw)},
	}
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	until(t, "it answers", func() bool {
		c, err := Dial(t.Context(), p.spawn.Socket, slog.New(slog.DiscardHandler))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	p.client = dial(t, p.spawn.Socket)
	p.order("mon0")
	p.whole(1)
	s, err := privilege.Of(p.pid())
	if err != nil || s.Permitted != privilege.SetOf(needs(false)...) {
		t.Errorf("%s, %v", s, err)
	}
	if f, err := p.client.Look(t.Context(), p.Self().Index("mon0"), "mon0"); err != nil {
		t.Error(err)
	} else {
		_ = f.Close()
	}
	if err := p.client.Release(t.Context(), By{Who: "test", Reason: "it ends"}); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("%v\n%s", err, log.String())
	}
}

// TestIdleCost measures, and asserts nothing about time.
func TestIdleCost(t *testing.T) {
	p := newPlant(t, 4)
	if p == nil {
		return
	}
	p.order("mon0", "mon1", "mon2", "mon3")
	p.whole(4)
	before := p.ticks()
	looks := 0
	for at := p.client.Standing().At; looks < 5; {
		until(t, "another look", func() bool { return p.client.Standing().At != at })
		at = p.client.Standing().At
		looks++
	}
	t.Logf("4 interfaces: %d ms of CPU for %d looks; %s", (p.ticks()-before)*10, looks, p.memory())
}

// ticks is the CPU time of the warden, in hundredths of a second (proc(5)).
func (p *plant) ticks() int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid()))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return user + system
}

func (p *plant) memory() string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid()))
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "VmRSS") {
			return strings.Join(strings.Fields(line), " ")
		}
	}
	return ""
}

// attachXDP attaches a program that lets everything pass.
func attachXDP(t *testing.T, iface string) {
	t.Helper()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}, // XDP_PASS
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = program.Close() }() // the interface holds it
	link, err := netlink.LinkByName(iface)
	if err == nil {
		err = netlink.LinkSetXdpFd(link, program.FD())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestXDPTrips(t *testing.T) {
	p := newPlant(t, 2)
	if p == nil {
		return
	}
	p.order("mon0", "mon1")
	p.whole(2)
	began := time.Now()
	attachXDP(t, "mon0")
	until(t, "down", func() bool { return !p.isUp("mon0") })
	t.Logf("XDP attached to down: %s", time.Since(began).Round(time.Millisecond))
	until(t, "told", func() bool { return len(p.client.Standing().Trips) == 1 })
	if !p.isUp("mon1") {
		t.Error("the other one went down as well")
	}
	if err := p.client.Reset(t.Context(), By{Who: "operator", Reason: "hope"}); err == nil {
		t.Error("reset while the program is attached")
	}
	p.Self().Run("ip", "link", "set", "mon0", "xdp", "off")
	if err := p.client.Reset(t.Context(), By{Who: "operator", Reason: "the program is gone"}); err != nil {
		t.Error(err)
	}
	p.whole(2)
	until(t, "up", func() bool { return p.isUp("mon0") })
}

func TestIsolated(t *testing.T) {
	p := newPlant(t, 2)
	if p == nil {
		return
	}
	p.end() // the one that newPlant started may not isolate
	p.spawn.Isolate = true
	p.start()
	p.order("mon0") // what it says before anybody fences it does not count
	p.whole(1)
	seen := p.peer.Watch("eth0")
	policy := guard.Policy{Node: "plant", Monitoring: []string{"mon0"}, Isolate: true}
	if err := p.client.Order(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	p.whole(1)
	if links := p.Self().Run("ip", "-o", "link"); strings.Contains(links, "mon0") || !strings.Contains(links, "mon1") {
		t.Errorf("not isolated:\n%s", links)
	}
	if up := p.peer.Run("ip", "-o", "link", "show", "eth0"); !strings.Contains(up, "LOWER_UP") {
		t.Errorf("it was not set up again: %s", up)
	}
	p.kill()
	p.start()
	p.whole(1)
	if len(p.client.Standing().Trips) != 0 {
		t.Errorf("%+v", p.client.Standing().Trips)
	}
	if err := p.client.Order(t.Context(), policy); err != nil {
		t.Error(err)
	}
	if n := seen.Count(); n != 0 {
		t.Errorf("%d frames left", n)
	}
	policy.Isolate = false
	if err := p.client.Order(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	until(t, "given back", func() bool { return strings.Contains(p.Self().Run("ip", "-o", "link"), "mon0") })
	p.whole(1)
	until(t, "up", func() bool { return p.isUp("mon0") })
	if n := seen.Count(); n != 0 {
		t.Errorf("%d frames left on the way back", n)
	}
}

// end stops the warden in good order.
func (p *plant) end() {
	p.t.Helper()
	pid := p.pid()
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	until(p.t, "the warden has ended", func() bool { return syscall.Kill(pid, 0) != nil })
}

func TestStartSaysWhyNot(t *testing.T) {
	p := newPlant(t, 1)
	if p == nil {
		return
	}
	second := p.spawn
	second.Socket += "2"
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	err := Start(ctx, second)
	if !errors.Is(err, errEndedAtOnce) || !strings.Contains(err.Error(), "another one works with") {
		t.Errorf("have %v", err)
	}
	second.State = filepath.Join(p.spawn.State, policyFile, "below a file")
	if err := os.WriteFile(filepath.Join(p.spawn.State, policyFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Start(ctx, second); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("have %v", err)
	}
}
