package e2e_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// named waits until every record is in the far side's file or missing by the ledger, and then compares: what is missing in
// the file is exactly what the ledger says, its sums are right, and both sides count the same in each range.
func (c *crossing) named(when string) {
	c.t.Helper()
	var sum console.GapTotals
	c.dmz.eventually(when+": every record delivered or named", func() bool {
		sum = c.totals()
		return uint64(countLines(c.records()))+sum.Open.Records >= uint64(len(c.sent))
	})
	if missing := uint64(len(c.missing())); missing != sum.Open.Records {
		c.t.Errorf("%s: %d records are missing in the file, by the ledger %d", when, missing, sum.Open.Records)
	}
	addsUp(c.t, when, sum)
	var inRanges, explained console.Amount
	for _, g := range c.gaps().Ranges {
		if !g.RecordsKnown {
			c.t.Errorf("%s: the records of a range are not known: %+v", when, g)
		}
		e := c.explain(g)
		inRanges.Batches, inRanges.Records = inRanges.Batches+g.Last-g.First+1, inRanges.Records+g.Records
		explained.Batches, explained.Records = explained.Batches+e.Batches, explained.Records+e.Records
	}
	if inRanges != sum.Open || explained != sum.Open {
		c.t.Errorf("%s: open %+v, in its ranges %+v, by the near side's explanation %+v", when, sum.Open, inRanges, explained)
	}
}

// addsUp: declared is filled, final and open together.
func addsUp(t *testing.T, when string, sum console.GapTotals) {
	t.Helper()
	for what, a := range map[string][4]uint64{
		"batches": {sum.Declared.Batches, sum.Filled.Batches, sum.Final.Batches, sum.Open.Batches},
		"records": {sum.Declared.Records, sum.Filled.Records, sum.Final.Records, sum.Open.Records},
	} {
		if a[0] != a[1]+a[2]+a[3] {
			t.Errorf("%s: %d %s declared, %d filled, %d final, %d open: they do not add up", when, a[0], what, a[1], a[2], a[3])
		}
	}
}

// gaps are the open ones, as the far side's operator asks for them, or others with more flags.
func (c *crossing) gaps(flags ...string) console.GapList {
	c.t.Helper()
	var list console.GapList
	out := c.dmz.sluice(append([]string{"diode", "gaps", "a", "--json"}, flags...)...)
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		c.t.Fatalf("gaps --json: %v: %s", err, out)
	}
	return list
}

// explain asks the near side what a range held.
func (c *crossing) explain(g console.GapRange) console.Explanation {
	c.t.Helper()
	var e console.Explanation
	out := c.plant.sluice("diode", "gaps", "a", "--class", g.Class, "--explain", fmt.Sprintf("%d-%d", g.First, g.Last), "--json")
	if err := json.Unmarshal([]byte(out), &e); err != nil {
		c.t.Fatalf("gaps --explain --json: %v: %s", err, out)
	}
	return e
}

// resendTyped reads the far side's short list and types it on the near side.
func (c *crossing) resendTyped() {
	c.t.Helper()
	short := strings.TrimSpace(c.dmz.sluice("diode", "gaps", "a", "--short"))
	if short == "" {
		c.t.Fatal("sluice diode gaps --short prints nothing")
	}
	for line := range strings.Lines(short) {
		out := c.plant.sluice(append([]string{"diode", "resend", "a", "--yes"}, strings.Fields(line)...)...)
		c.t.Logf("sluice diode resend a %s\n%s", strings.TrimSpace(line), out)
	}
}

// resendReported carries the far side's report to the near side.
func (c *crossing) resendReported() {
	c.t.Helper()
	file := filepath.Join(c.dir, fmt.Sprintf("gaps-%d.bin", time.Now().UnixNano()))
	c.dmz.sluice("diode", "gaps", "a", "--report", file)
	c.t.Logf("sluice diode resend a --gaps\n%s", c.plant.sluice("diode", "resend", "a", "--gaps", file, "--yes"))
}

// healed: nothing is missing any more, in the file and by the ledger.
func (c *crossing) healed(when string) {
	c.t.Helper()
	c.whole(when)
	c.dmz.eventually(when+": no open gap", func() bool { sum := c.totals(); return sum.Open.Batches == 0 && sum.OpenRanges == 0 })
	if sum := c.totals(); sum.Filled != sum.Declared {
		c.t.Errorf("%s: declared %+v, filled %+v", when, sum.Declared, sum.Filled)
	}
	if near, far := c.durable(), c.stored(); near != far {
		c.t.Errorf("%s: %d records on the near side's disk, %d on the far side's", when, near, far)
	}
}

// TestLossBeyondRepairIsNamedAndSentAgain: a link that is cut, and one that loses far more than it can repair. Exactly
// what was hit is in the ledger, and both ways of asking for it bring all of it.
func TestLossBeyondRepairIsNamedAndSentAgain(t *testing.T) {
	for _, r := range []struct {
		name   string
		faults netlab.Faults
		load   load
		resend func(*crossing)
	}{
		{"cut for 5 s, ranges typed", netlab.Faults{Cut: true}, load{n: 1000, size: 200, over: 5 * time.Second}, (*crossing).resendTyped},
		{"cut for 5 s, report carried", netlab.Faults{Cut: true}, load{n: 1000, size: 200, over: 5 * time.Second}, (*crossing).resendReported},
		{"30 percent lost for 2 s, ranges typed", netlab.Faults{Lose: 30}, load{n: 3000, size: 4000, over: 2 * time.Second}, (*crossing).resendTyped},
		{"30 percent lost for 2 s, report carried", netlab.Faults{Lose: 30}, load{n: 3000, size: 4000, over: 2 * time.Second}, (*crossing).resendReported},
	} {
		t.Run(r.name, func(t *testing.T) {
			c := newCrossing(t, shape{}).start()
			c.send(load{n: 500, size: 300})
			c.whole("before")
			c.wires[0].Set(r.faults)
			c.send(r.load)
			c.sentWhole()
			c.wires[0].Set(netlab.Faults{})
			c.send(load{n: 500, size: 300, high: true})
			c.send(load{n: 500, size: 300})
			c.named("after the loss")
			if c.totals().Open.Records == 0 {
				t.Fatal("nothing was lost beyond repair: the test is about nothing")
			}
			r.resend(c)
			c.healed("after sending again")
			c.stop()
		})
	}
}

// sentWhole waits until the near side has put everything on the wire.
func (c *crossing) sentWhole() {
	c.t.Helper()
	c.plant.eventually("everything has left", func() bool {
		l := c.plant.tryStatus().Links
		if len(l) == 0 || l[0].Send == nil {
			return false
		}
		for _, s := range l[0].Send.Classes {
			if s.Sent < s.Accepted {
				return false
			}
		}
		return true
	})
}

// TestARepeatBridgesAnOutage: shorter than the repeat, so nothing is ever missing, and the order holds.
func TestARepeatBridgesAnOutage(t *testing.T) {
	c := newCrossing(t, shape{fec: `repeat = ["6s"]`}).start()
	c.send(load{n: 100, size: 200})
	c.whole("before the outage")
	c.wires[0].Set(netlab.Faults{Cut: true})
	c.send(load{n: 400, size: 200, over: 4 * time.Second})
	c.wires[0].Set(netlab.Faults{})
	c.send(load{n: 100, size: 200})
	c.whole("after the outage")
	c.noGap("after the outage")
	inOrder(t, "in the far side's file", c.arrived(), c.sent)
	c.stop()
}
