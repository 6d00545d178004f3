package oneway_test

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/floor"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/recv"
	"github.com/sluice-gateway/sluice/diode/send"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// outage is how long the link is away.
const outage = 30 * time.Second

// ranges joins sequences.
func ranges(missing map[uint64]bool) []diode.Range {
	var out []diode.Range
	for _, seq := range slices.Sorted(maps.Keys(missing)) {
		if n := len(out); n > 0 && out[n-1].Last+1 == seq {
			out[n-1].Last = seq
			continue
		}
		out = append(out, diode.Range{First: seq, Last: seq})
	}
	return out
}

// trickle adds a few small batches to each rig every 100 ms for so long.
func trickle(d time.Duration, rigs ...*rig) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		for _, r := range rigs {
			r.add(3, 2000)
		}
	}
}

// Three links side by side, because they mostly wait: one is down for 30 s and
// repeats, one is down for 30 s and is asked to send again, and one has no
// receiver for its first 60 s.
func TestLongOutages(t *testing.T) {
	repeats := newRig(t, options{
		send: func(c *send.Config) { c.Repeat = []time.Duration{outage + 3*time.Second} },
		recv: func(c *recv.Config) { c.HoleAfter = outage + 6*time.Second },
	}).up()
	resends := newRig(t, options{}).up()
	late := newRig(t, options{})
	late.startSend(0)
	for _, r := range []*rig{repeats, resends} {
		r.add(20, 2000)
		r.whole()
		r.diodes[0].lab.Set(netlab.Faults{Cut: true})
	}
	trickle(outage, repeats, resends, late)
	for _, r := range []*rig{repeats, resends} {
		r.diodes[0].lab.Set(netlab.Faults{})
		r.add(20, 2000)
	}
	c := resends.settled()
	if c.named == 0 {
		t.Error("nothing was named")
	}
	resends.resend(c)
	trickle(outage, late)
	late.joins()
	repeats.whole()
}

// joins starts the receiver, and it must hear the sender with the next
// heartbeat, name everything before, and lose nothing after.
func (r *rig) joins() {
	r.t.Helper()
	r.startRecv()
	begin := time.Now()
	r.until("joined", func() bool { return r.rx.Stats().State == recv.StateUp })
	if d := time.Since(begin); d > 3*time.Second {
		r.t.Errorf("joined after %v, a heartbeat comes every second", d)
	}
	r.add(50, 2000)
	c := r.settled()
	if _, next, _ := r.source.Bounds(); c.named == 0 || c.next != next {
		r.t.Fatalf("%+v", c)
	}
	r.add(50, 2000)
	after := r.settled()
	if after.named != c.named {
		r.t.Errorf("%d named after joining", after.named-c.named)
	}
	r.resend(after)
}

func TestSenderRestarted(t *testing.T) {
	r := newRig(t, options{})
	r.diodes[0].lab.Lose(1)
	r.up()
	for i := range 20 {
		r.add(5, 250_000)
		if i%2 == 0 {
			r.settled()
		}
		r.stopSend(0)
		r.source.Rewind(5) // as the gateway does
		r.startSend(0)
	}
	r.add(5, 100_000)
	r.whole()
}

func TestReceiverRestarted(t *testing.T) {
	r := newRig(t, options{
		send: func(c *send.Config) { c.Repeat = []time.Duration{3 * time.Second} },
		recv: func(c *recv.Config) { c.HoleAfter = 6 * time.Second },
	}).up()
	for range 5 {
		r.add(10, 50_000)
		r.stopRecv()
		r.startRecv()
	}
	r.add(5, 10_000)
	r.whole()
}

// A clock that was a year ahead leaves session numbers from the future; one
// that is a year behind makes sessions that look old.
func TestClockOffByAYear(t *testing.T) {
	const year = 365 * 24 * 3600
	mark := func(t *testing.T, dir, side string, session uint64) {
		t.Helper()
		f, err := floor.Open(dir, side, frame.LinkID("a"), keyID)
		must(t, err)
		must(t, f.Store(floor.Mark{Session: session}))
	}
	future := uint64(time.Now().Unix() + year)
	t.Run("near clock was ahead", func(t *testing.T) {
		r := newRig(t, options{})
		mark(t, r.diodes[0].sendDir, "send", future)
		mark(t, r.diodes[0].recvDir, "recv", future)
		r.up()
		r.add(20, 20_000)
		r.whole()
	})
	t.Run("near clock is behind", func(t *testing.T) {
		r := newRig(t, options{})
		mark(t, r.diodes[0].recvDir, "recv", future)
		r.up()
		r.add(20, 20_000)
		r.until("alarm", func() bool { return r.rx.Stats().Paths[0].SenderWentBack > 0 })
		if n := r.sink.Events(); len(n) > 0 {
			t.Fatalf("%d events from a session below the floor", len(n))
		}
		_, err := r.rx.AcceptSender("a")
		must(t, err)
		begin := time.Now()
		r.until("up", func() bool { return r.rx.Stats().State == recv.StateUp })
		if d := time.Since(begin); d > 3*time.Second {
			t.Errorf("up %v after accepting", d)
		}
		r.add(20, 20_000)
		r.resend(r.settled())
	})
}

// The far side does not take batches for a while: they are named, and come
// again on request.
func TestFarSideFull(t *testing.T) {
	r := newRig(t, options{}).up()
	r.add(20, 20_000)
	r.whole()
	full := errors.New("no room")
	r.sink.Refuse(func(diode.Batch) error { return full })
	r.add(40, 20_000)
	c := r.settled()
	if c.named != 40 {
		t.Errorf("%d named, 40 were refused", c.named)
	}
	r.sink.Refuse(nil)
	r.add(20, 20_000)
	r.resend(r.settled())
}

func TestTwoDiodes(t *testing.T) {
	r := newRig(t, options{two: true, recv: func(c *recv.Config) { c.AlarmAfter = 2 * time.Second }}).up()
	r.bulk()
	r.whole()
	r.diodes[0].lab.Set(netlab.Faults{Cut: true}) // a is cut
	r.add(100, 100_000)
	r.whole()
	r.diodes[0].lab.Set(netlab.Faults{})
	r.diodes[1].lab.Set(netlab.Faults{Lose: 30}) // b is worse than it can repair
	r.add(100, 100_000)
	r.whole()
	r.diodes[1].lab.Set(netlab.Faults{Cut: true})
	r.add(100, 100_000)
	c := r.whole()
	if c.late > 0 {
		t.Errorf("%d late", c.late)
	}
	r.noWayBack()
}
