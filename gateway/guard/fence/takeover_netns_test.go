//go:build linux

package fence_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/fence"
)

// again replaces the fence by that of a new process: the old one is gone
// without a word, its socket was kept. It returns the new one's log.
func (b *bench) again() *bytes.Buffer {
	b.t.Helper()
	kept, err := b.table.File()
	must(b.t, err)
	must(b.t, errors.Join(b.fence.Close(), b.table.Close()))
	b.table, err = fence.AdoptTable(kept)
	must(b.t, err)
	log := &bytes.Buffer{}
	b.fence, err = fence.New(fence.Options{Table: b.table, Log: slog.New(slog.NewTextHandler(log, nil))})
	must(b.t, err)
	return log
}

// TestTakenOver: a new process goes on with what stands; the interface does
// not go down, and what was sent meanwhile is noticed.
func TestTakenOver(t *testing.T) {
	b := newBench(t)
	if b == nil {
		return
	}
	plan := fence.Plan{Targets: []fence.Target{b.target(guard.Monitoring)}}
	must(t, b.fence.Apply(plan))
	log := b.again()
	must(t, b.fence.Apply(plan))
	b.whole()
	if strings.Contains(log.String(), "down") {
		t.Errorf("the interface was set down:\n%s", log)
	}
	must(t, b.self.TransmitXDP(fenced, marker(1), marker(2)))
	b.again()
	must(t, b.fence.Apply(plan))
	if found := b.audit(); len(found.Breaches) != 1 || found.Breaches[0].Cause != "sent 2 frames since it was fenced" {
		t.Errorf("sent while nobody looked: %+v", found)
	}
}

// TestTakenOverLink: the link goes on sending, and what it sent before is not
// taken for a breach.
func TestTakenOverLink(t *testing.T) {
	b := newBench(t)
	if b == nil {
		return
	}
	target := b.target(guard.DiodeTX)
	target.Send = linkFlows()
	plan := fence.Plan{Targets: []fence.Target{target}}
	must(t, b.fence.Apply(plan))
	good := pick(samples(t), true)
	_, err := b.self.Inject(fenced, false, good...)
	must(t, err)
	log := b.again()
	must(t, b.fence.Apply(plan))
	if strings.Contains(log.String(), "down") {
		t.Errorf("the interface was set down:\n%s", log)
	}
	for range 8 {
		_, err := b.self.Inject(fenced, false, good...)
		must(t, err)
		b.whole()
	}
	must(t, b.self.TransmitXDP(fenced, bytesOf(60, 200)...))
	if found := b.audit(); len(found.Breaches) != 1 {
		t.Errorf("sent past the program: %+v", found)
	}
}

func bytesOf(n, size int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = append(marker(byte(i)), make([]byte, size)...)
	}
	return out
}

// TestFlowsChange: the flows of a link change while it is up.
func TestFlowsChange(t *testing.T) {
	b := newBench(t)
	if b == nil {
		return
	}
	target := b.target(guard.DiodeTX)
	must(t, b.fence.Apply(fence.Plan{Targets: []fence.Target{target}}))
	b.whole()
	target.Send = linkFlows()
	must(t, b.fence.Apply(fence.Plan{Targets: []fence.Target{target}}))
	b.whole()
	b.sends(false, samples(t))
	b.whole()
	must(t, b.fence.Apply(fence.Plan{Targets: []fence.Target{b.target(guard.Monitoring)}}))
	b.whole()
	must(t, b.fence.Remove())
	if out := b.self.Run("nft", "list", "tables") + b.self.Run("tc", "filter", "show", "dev", fenced, "egress"); out != "" {
		t.Errorf("left: %s", out)
	}
}

// passing is a program that lets everything pass.
func passing(t *testing.T, kind ebpf.ProgramType, attach ebpf.AttachType, verdict int32) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: kind, AttachType: attach, License: "Apache-2.0",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, verdict), asm.Return()},
	})
	must(t, err)
	t.Cleanup(func() { must(t, p.Close()) })
	return p
}

// TestForeignPrograms: programs of others that run before ours.
func TestForeignPrograms(t *testing.T) {
	b := newBench(t)
	if b == nil {
		return
	}
	plan := fence.Plan{Targets: []fence.Target{b.target(guard.Monitoring)}}
	index := plan.Targets[0].Index
	accept := passing(t, ebpf.SchedCLS, ebpf.AttachNone, 0)
	filter := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: netlink.HANDLE_MIN_EGRESS, Handle: 2, Priority: 1, Protocol: unix.ETH_P_ALL},
		Fd:          accept.FD(), Name: "other", DirectAction: true,
	}
	must(t, b.fence.Apply(plan))
	must(t, netlink.FilterAdd(filter))
	if got := b.drifted(); got != "tc egress another filter runs first" {
		t.Errorf("another filter: found %q", got)
	}
	must(t, b.fence.Apply(plan))
	b.whole()

	filter.Handle = 1
	must(t, netlink.FilterReplace(filter))
	if got := b.drifted(); got != "tc egress another filter runs first" {
		t.Errorf("ours replaced: found %q", got)
	}
	must(t, b.fence.Apply(plan))
	b.whole()

	tcx, err := link.AttachTCX(link.TCXOptions{Interface: index, Program: accept, Attach: ebpf.AttachTCXEgress})
	must(t, err)
	if got := b.drifted(); got != "tc egress before it run 1 tcx programs" {
		t.Errorf("tcx: found %q", got)
	}
	if err := b.fence.Apply(plan); err == nil {
		t.Error("tcx: Apply took it for set right")
	}
	must(t, tcx.Close())
	must(t, b.fence.Apply(plan))
	b.whole()

	xdp, err := link.AttachXDP(link.XDPOptions{Interface: index, Program: passing(t, ebpf.XDP, ebpf.AttachXDP, 2)})
	must(t, err)
	defer func() { must(t, xdp.Close()) }()
	if found := b.audit(); len(found.Breaches) != 1 || found.Breaches[0].Cause != "an XDP program is attached" {
		t.Errorf("XDP: %+v", found)
	}
}

// TestIngressDiscipline: the older discipline in clsact's place gives way.
func TestIngressDiscipline(t *testing.T) {
	b := newBench(t)
	if b == nil {
		return
	}
	b.self.Run("tc", "qdisc", "add", "dev", fenced, "ingress")
	must(t, b.fence.Apply(fence.Plan{Targets: []fence.Target{b.target(guard.Monitoring)}}))
	b.whole()
}

// TestAdoptRefuses what is no socket of ours.
func TestAdoptRefuses(t *testing.T) {
	null, err := os.Open(os.DevNull)
	must(t, err)
	defer func() { must(t, null.Close()) }()
	if _, err := fence.AdoptTable(null); err == nil {
		t.Error("/dev/null was adopted")
	}
}

// TestSingle: without nftables the fence refuses and names what is missing;
// with an exception it makes do with tc.
func TestSingle(t *testing.T) {
	b := newBench(t)
	if b == nil {
		return
	}
	must(t, errors.Join(b.fence.Close(), b.table.Close()))
	var missing *fence.MissingError
	if _, err := fence.New(fence.Options{}); !errors.As(err, &missing) || missing.Remaining != "tc egress" || len(missing.Features) != 1 {
		t.Fatalf("without nftables: %v", err)
	}
	var err error
	b.fence, err = fence.New(fence.Options{Single: true})
	must(t, err)
	must(t, b.fence.Apply(fence.Plan{Targets: []fence.Target{b.target(guard.Monitoring)}}))
	b.whole()
	found := b.audit()
	if len(found.Barriers[0].Egress) != 1 || !found.Barriers[0].Egress[0].OK || found.Input.Text == "" {
		t.Errorf("%+v", found)
	}
	w := b.peer.Watch(faced)
	_, err = b.self.Inject(fenced, false, marker(1))
	must(t, err)
	must(t, b.self.TransmitXDP(fenced, marker(2)))
	until(t, "positive control", func() bool { return w.Count() > 0 })
	if n := w.Count(); n != 1 {
		t.Errorf("%d frames, want 1", n)
	}
	must(t, b.fence.Remove())
}
