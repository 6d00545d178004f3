package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/test/netlab"
)

// holds waits until the near side says, in its status as an operator reads it, why nothing leaves.
func (c *crossing) holds(cause string) {
	c.t.Helper()
	state := ""
	eventually(c.t, "the near side holds because of "+cause, patience, func() bool {
		for _, l := range c.plant.tryStatus().Links {
			state = l.State
		}
		return strings.HasPrefix(state, "holding: ") && strings.Contains(state, cause)
	}, func() string { return "its state is " + state + "\n" + tail(c.plant.out) })
	if out := c.plant.sluice("status"); !strings.Contains(out, state) {
		c.t.Errorf("sluice status does not say %q:\n%s", state, out)
	}
	if out, err := c.plant.trySluice("diode", "doctor"); err == nil || !strings.Contains(out, "holding since") {
		c.t.Errorf("sluice diode doctor finds nothing bad (%v):\n%s", err, out)
	}
}

// TestWhatCannotLeaveIsHeld: the link of the sending interface goes away in two ways while records come. They wait, leave
// when it is back, and nothing is ever missing.
func TestWhatCannotLeaveIsHeld(t *testing.T) {
	for _, r := range []struct {
		name, cause string
		down, up    func(c *crossing)
	}{
		{
			"carrier lost", "no carrier",
			func(c *crossing) { c.cables[0].Run("ip", "link", "set", "in0", "down") },
			func(c *crossing) { c.cables[0].Run("ip", "link", "set", "in0", "up") },
		},
		{ // flushes the neighbour entry, which the node must make again
			"interface down", "down",
			func(c *crossing) { c.plant.ns.Run("ip", "link", "set", "dtx0", "down") },
			func(c *crossing) { c.plant.ns.Run("ip", "link", "set", "dtx0", "up") },
		},
	} {
		t.Run(r.name, func(t *testing.T) {
			c := newCrossing(t, shape{}).start()
			c.send(load{n: 200, size: 200})
			c.whole("before")
			r.down(c)
			c.send(load{n: 400, size: 200, over: 2 * time.Second})
			c.holds(r.cause)
			c.dmz.eventually("the far side says that the link is silent", func() bool {
				l := c.dmz.tryStatus().Links
				return len(l) == 1 && l[0].State == "silent" && len(l[0].Alarms) > 0
			})
			r.up(c)
			c.up()
			c.send(load{n: 200, size: 200})
			c.whole("after")
			c.noGap("after")
			inOrder(t, "in the far side's file", c.arrived(), c.sent)
			if entry := c.plant.ns.Run("ip", "neighbour", "show", "dev", "dtx0"); !strings.Contains(entry, c.macs[0]+" PERMANENT") {
				t.Errorf("the neighbour entry is %q", entry)
			}
			c.stop()
		})
	}
}

// TestTwoDiodesInParallel: one is cut, then the other, then both lose more than each alone could repair. Nothing is missing
// at any time, and nothing comes twice.
func TestTwoDiodesInParallel(t *testing.T) {
	c := newCrossing(t, shape{diodes: 2, receive: `alarm_after = "2s"`}).start()
	some := load{n: 400, size: 500, over: 2 * time.Second}
	c.send(some)
	c.whole("both up")
	for i, w := range c.wires {
		w.Set(netlab.Faults{Cut: true})
		c.send(some)
		c.dmz.eventually("the cut diode is silent", func() bool {
			l := c.dmz.tryStatus().Links
			return len(l) == 2 && l[i].State == "silent" && l[1-i].State == "up"
		})
		c.send(some)
		c.whole("diode " + diodeName(i) + " cut")
		w.Set(netlab.Faults{})
		c.up()
	}
	c.send(some)
	c.whole("both up again")
	c.noGap("at the end")
	inOrder(t, "in the far side's file", c.arrived(), c.sent)
	if near, far := c.durable(), c.stored(); near != far {
		t.Errorf("%d records on the near side's disk, %d on the far side's", near, far)
	}
	c.stop()
}

// TestCaptureWithoutAnAddress: the receiving interface has no IP address at all, and one frame in a hundred is lost.
func TestCaptureWithoutAnAddress(t *testing.T) {
	c := newCrossing(t, shape{noAddress: true, receive: `capture = "packet"`, fec: "parity = \"35%\"\ndesign_loss = \"5%\""})
	c.start()
	if addrs := c.dmz.ns.Run("ip", "-oneline", "address", "show", "dev", "drx0"); addrs != "" {
		t.Fatalf("the receiving interface has an address: %s", addrs)
	}
	c.wires[0].Lose(1)
	c.send(load{n: 2000, size: 300, over: 3 * time.Second})
	c.send(load{n: 5000, size: 4000})
	c.whole("over a ring")
	c.noGap("over a ring")
	counts := c.wires[0].Counts()
	if counts.Lost == 0 || counts.Returned != 0 {
		t.Errorf("%d of %d frames were lost, %d came back", counts.Lost, counts.Seen, counts.Returned)
	}
	c.stop()
}
