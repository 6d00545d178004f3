package matrix_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/warden"
)

// held sends frames in every way that a drop must stop, and wants none seen.
func (c *cell) held(label string) {
	c.Helper()
	before, _ := c.seen()
	for _, bypass := range []bool{false, true} {
		_, err := c.node.Inject(c.iface, bypass, marks(stimulusMark, 3)...)
		c.tolerate(err)
	}
	c.rest(settle)
	if all, _ := c.seen(); all > before {
		c.Errorf("%s: %d frames left", label, all-before)
	}
}

// TestWardenKilled kills the warden: what it put there stays, also when the
// rules of the machine are flushed meanwhile. The next one takes it over.
func TestWardenKilled(t *testing.T) {
	t.Parallel()
	c := newCell(t, anything)
	w := guarding(t, c.node, guard.Policy{Node: "matrix", Monitoring: only(guarded)})
	c.up()
	w.stop(syscall.SIGKILL)
	c.held("killed")
	c.tolerate(c.run("nft", "flush", "ruleset"))
	if rules := c.node.Run("nft", "list", "ruleset"); !strings.Contains(rules, "sluice") {
		t.Errorf("the table is gone with its warden, although somebody keeps its socket: %q", rules)
	}
	c.held("killed, then flushed")
	until(t, "the client knows", func() bool { return !w.client.Standing().Known })
	began := time.Now()
	w.start()
	w.awaitWhole()
	t.Logf("guarding again %s after its start", since(began))
	c.tolerate(c.run("tc", "qdisc", "delete", "dev", guarded, "clsact"))
	w.await(mustRestore, 0)
	c.held("restored by the next one")
	c.defence = w
	w.end()
	c.control()
}

// TestWardenStopped stops the warden without ending it: within three seconds
// nobody relies on it any more, and the drops stand.
func TestWardenStopped(t *testing.T) {
	t.Parallel()
	c := newCell(t, anything)
	w := guarding(t, c.node, guard.Policy{Node: "matrix", Monitoring: only(guarded)})
	c.up()
	began := time.Now()
	if err := w.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	until(t, "the client knows", func() bool { return !w.client.Standing().Known })
	t.Logf("unknown after %s", since(began))
	c.held("stopped")
	// What happens meanwhile is more than its reader holds.
	c.node.Batch(flood(guarded, 5000)...)
	c.tolerate(c.run("tc", "qdisc", "delete", "dev", guarded, "clsact"))
	c.held("filter deleted while it is stopped")
	if err := w.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	w.await(mustRestore, 0)
	c.held("going on")
}

// flood are commands that make so many link events.
func flood(iface string, events int) []string {
	out := make([]string, events)
	for i := range out {
		out[i] = "link set " + iface + " alias " + string(rune('a'+i%2))
	}
	return out
}

// TestTripIsLatched trips the guard: the interface is down and stays so, also
// for the next warden, until somebody resets it.
func TestTripIsLatched(t *testing.T) {
	t.Parallel()
	c := newCell(t, anything)
	w := guarding(t, c.node, guard.Policy{Node: "matrix", Monitoring: only(guarded)})
	c.up()
	if err := c.node.TransmitXDP(guarded, marks(stimulusMark, 5)...); err != nil {
		t.Fatal(err)
	}
	w.await(mustTrip, 0)
	cause, _ := w.tripped()
	t.Log(cause)
	if !strings.Contains(cause, "5") {
		t.Errorf("tripped because %q: want the number of frames", cause)
	}
	down := func() bool { return !strings.Contains(c.node.IP("link", "show", guarded), ",UP") }
	until(t, "it is down", down)
	w.stop(syscall.SIGKILL)
	w.start()
	until(t, "the next warden knows", func() bool { s := w.client.Standing(); return s.Known && len(s.Trips) > 0 })
	_ = c.node.TryBatch("link set " + guarded + " up")
	until(t, "it is down again", down)
	if err := w.client.Reset(t.Context(), warden.By{Who: "test", Reason: "looked at it"}); err != nil {
		t.Fatal(err)
	}
	w.awaitWhole()
	c.up()
	c.held("after the reset")
}
