package e2e_test

import (
	"strings"
	"testing"
)

// TestAlertsOvertakeABacklog: bulk waits for a slow line, and what is critical goes before it, in its own order.
func TestAlertsOvertakeABacklog(t *testing.T) {
	c := newCrossing(t, shape{rate: "8Mbit"}).start()
	c.send(load{n: 1000, size: 4000})
	c.dmz.eventually("some of the backlog has arrived", func() bool { return countLines(c.records()) > 0 })
	before := countLines(c.records())
	c.send(load{n: 50, size: 100, high: true})
	c.whole("everything")
	c.noGap("everything")
	var alerts, bulk [][]byte
	first, last := -1, -1
	for i, p := range c.arrived() {
		if strings.HasPrefix(string(p), "<11>") {
			if first < 0 {
				first = i
			}
			last = i
			alerts = append(alerts, p)
			continue
		}
		bulk = append(bulk, p)
	}
	t.Logf("%d bulk records had arrived when alerts came; they stand at %d to %d of %d", before, first, last, len(c.sent))
	if last >= len(bulk)*3/4+len(alerts) {
		t.Errorf("the last alert stands at place %d of %d: it did not overtake the backlog", last, len(c.sent))
	}
	inOrder(t, "alerts", alerts, c.sent[1000:])
	inOrder(t, "bulk", bulk, c.sent[:1000])
	c.stop()
}
