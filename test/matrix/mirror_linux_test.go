package matrix_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// The ports of the node that TestMirrorCheck looks at.
const (
	mirrorPort   = "mir0"
	ordinaryPort = "ord0"
	idlePort     = "idle0"
)

// TestMirrorCheck lays three cables from a switch to the node: one on which
// the switch mirrors what two machines tell each other, an ordinary one, and
// one on which nothing happens.
func TestMirrorCheck(t *testing.T) {
	t.Parallel()
	lab := netlab.Isolate(t)
	if lab == nil {
		return
	}
	talk := newSwitch(lab)
	g, err := guard.New(guard.Options{Log: discard(), MirrorWatch: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var talking sync.WaitGroup
	talking.Go(func() { talk(ctx) })
	defer talking.Wait()
	defer stop()
	want := map[string]string{mirrorPort: guard.MirrorPort, ordinaryPort: guard.MirrorOrdinary, idlePort: guard.MirrorUndecided}
	var looking sync.WaitGroup
	for name, verdict := range want {
		looking.Go(func() {
			m, err := g.CheckMirror(ctx, name)
			if err != nil || m.Verdict != verdict {
				t.Errorf("%s: %+v, %v: want %q", name, m, err, verdict)
			}
			t.Logf("%s: %s", name, m.Text)
		})
	}
	looking.Wait()
	for _, d := range g.Snapshot().Decisions {
		if d.Name == mirrorPort && (d.Role != guard.Closed || !strings.Contains(d.Reason, "monitoring_points")) {
			t.Errorf("%s is %s: %s", d.Name, d.Role, d.Reason)
		}
	}
}

// newSwitch builds the switch and two machines beside the node; the function
// it returns lets one of them talk to the other and to the node until ctx ends.
func newSwitch(lab *netlab.Lab) func(ctx context.Context) {
	hub, one, other := lab.Namespace("switch"), lab.Namespace("one"), lab.Namespace("other")
	end := func(n *netlab.Namespace, name, mac string) netlab.End { return netlab.End{In: n, Name: name, MAC: mac} }
	lab.Cable(end(hub, "p1", ""), end(one, outside, peerMAC))
	lab.Cable(end(hub, "p2", ""), end(other, outside, nodeMAC))
	lab.Cable(end(hub, "p3", ""), end(lab.Self(), ordinaryPort, ""))
	lab.Cable(end(hub, "span", ""), end(lab.Self(), mirrorPort, ""))
	lab.Cable(end(hub, "p5", ""), end(lab.Self(), idlePort, ""))
	hub.Batch("link add br0 type bridge", "link set p1 master br0", "link set p2 master br0", "link set p3 master br0", "link set br0 up")
	hub.Run("tc", "qdisc", "add", "dev", "p1", "clsact")
	hub.Run("tc", words("filter add dev p1 ingress bpf bytecode 1,6_0_0_4294967295 action mirred egress mirror dev span")...)
	ours := lab.Self().MAC(ordinaryPort)
	// The switch learns where everybody is.
	_, _ = other.Inject(outside, false, from(mark(stimulusMark), nodeMAC))
	_, _ = lab.Self().Inject(ordinaryPort, false, from(mark(stimulusMark), ours))
	return func(ctx context.Context) {
		for ctx.Err() == nil {
			_, _ = one.Inject(outside, false, unicast(nodeMAC), unicast(ours))
			<-time.After(5 * time.Millisecond)
		}
	}
}

// from gives a frame another source.
func from(frame []byte, source string) []byte {
	copy(frame[6:], mac(source))
	return frame
}

// unicast is a marked frame for one machine.
func unicast(to string) []byte {
	b := from(mark(stimulusMark), peerMAC)
	copy(b, mac(to))
	return b
}
