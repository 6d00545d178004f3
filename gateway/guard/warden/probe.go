package warden

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/fence"
)

// probeFrames is how many frames a test sends against each drop. Ours: few
// enough to be found in no statistics, more than one could be luck.
const probeFrames = 3

// Report is what a test of the drops found.
type Report struct {
	At     time.Time `json:"at"`
	Probes []Probe   `json:"probes"`
}

// Probe is what became of the frames that the warden tried to send by one
// interface.
type Probe struct {
	Interface string     `json:"interface"`
	Index     int        `json:"index"`
	Role      guard.Role `json:"role"`
	Tried     int        `json:"tried"` // frames
	// Dropped counts them by the drop that took them. The first drop takes
	// all: the second one is examined by reading it back.
	Dropped map[string]uint64 `json:"dropped,omitempty"`
	// Left is how far the interface's transmit counter moved meanwhile. It is
	// not counted on a sending diode, which may have sent for its link.
	Left uint64 `json:"left"`
	// Idle says that nothing was tried, and Text why: the interface is down,
	// or its drops are not whole.
	Idle bool   `json:"idle,omitempty"`
	OK   bool   `json:"ok"`
	Text string `json:"text,omitempty"`
}

// prober sends frames that must not get through.
type prober interface {
	// Probe hands that many frames to the interface, from its own address to
	// its own address, with an EtherType for experiments (IEEE 802, 0x88b5).
	Probe(index, frames int) error
}

// test sends against each drop, where both stand.
func (l *loop) test(ctx context.Context, _ call) outcome {
	l.look(ctx)
	if l.fence == nil || l.trouble != nil {
		return outcome{body: Report{At: time.Now()}, err: l.trouble}
	}
	before, err := l.fence.Audit()
	if err != nil {
		return fail(err)
	}
	tried := map[int]error{}
	for _, b := range before.Barriers {
		if l.idle(b) == "" {
			tried[b.Index] = l.probes.Probe(b.Index, probeFrames)
		}
	}
	after, err := l.fence.Audit()
	if err != nil {
		return fail(err)
	}
	r := Report{At: time.Now()}
	for _, b := range before.Barriers {
		err, ok := tried[b.Index]
		switch {
		case !ok:
			r.Probes = append(r.Probes, Probe{Interface: b.Interface, Index: b.Index, Role: b.Role, Idle: true, Text: "not tried: " + l.idle(b)})
		case err != nil:
			r.Probes = append(r.Probes, Probe{Interface: b.Interface, Index: b.Index, Role: b.Role, Text: err.Error()})
		default:
			r.Probes = append(r.Probes, compared(b, barrierOf(after, b.Index)))
		}
	}
	l.look(ctx) // what left trips
	return outcome{body: r}
}

// idle says why frames must not be sent against a barrier.
func (l *loop) idle(b guard.Barrier) string {
	switch {
	case l.inRoom(b.Index):
		return "it lives in a namespace of its own"
	case !l.scene.up()[b.Index]:
		return "it is down"
	case !standing(b.Egress):
		return "its drops are not whole"
	}
	return ""
}

func standing(checks []guard.Check) bool {
	for _, c := range checks {
		if !c.OK {
			return false
		}
	}
	return len(checks) > 0
}

func barrierOf(f fence.Findings, index int) guard.Barrier {
	for _, b := range f.Barriers {
		if b.Index == index {
			return b
		}
	}
	return guard.Barrier{}
}

// compared says what became of the frames between two looks.
func compared(before, after guard.Barrier) Probe {
	p := Probe{
		Interface: before.Interface, Index: before.Index, Role: before.Role,
		Tried: probeFrames, Dropped: map[string]uint64{},
	}
	var sum uint64
	for name, n := range after.Dropped {
		if more := n - min(n, before.Dropped[name]); more > 0 {
			p.Dropped[name] = more
			sum += more
		}
	}
	if before.Role != guard.DiodeTX {
		p.Left = after.Sent - min(after.Sent, before.Sent)
	}
	p.OK = p.Left == 0 && sum >= probeFrames
	if !p.OK {
		p.Text = fmt.Sprintf("of %d frames %d were dropped, and %d left", probeFrames, sum, p.Left)
	}
	return p
}
