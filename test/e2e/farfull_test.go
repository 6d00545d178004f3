package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-gateway/sluice/sdk"
)

// pluginUser is as whom plugins run on a machine without a user of their own (docs/guard.md).
const pluginUser = 65534

// blockSink makes the far side's sink hold, as a disk that is full does: somebody else has locked its file. It returns
// what lets it go on.
func (c *crossing) blockSink() func() {
	c.t.Helper()
	writeFile(c.t, c.records(), "", 0o600)
	if os.Geteuid() == 0 { // plugins run as another user then, whose directory it is
		for _, path := range []string{filepath.Dir(c.records()), c.records()} {
			if err := os.Chown(path, pluginUser, pluginUser); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	f, err := os.OpenFile(c.records(), os.O_RDWR, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = f.Close() })
	return func() {
		if err := f.Close(); err != nil {
			c.t.Error(err)
		}
	}
}

// TestFarSpoolFullAndFreed: the far side's sink holds until the far spool is full. What finds no room is named; when the
// sink goes on, sending again brings all of it.
func TestFarSpoolFullAndFreed(t *testing.T) {
	for _, policy := range []string{"drop-new", "drop-oldest"} {
		t.Run(policy, func(t *testing.T) {
			c := newCrossing(t, shape{
				receive: `when_full = "` + policy + `"`,
				dmz:     "spool {\n    max_size = \"16MiB\"\n    segment_size = \"1MiB\"\n  }",
			})
			free := c.blockSink()
			c.start()
			c.dmz.eventually("the sink holds", func() bool { return c.dmz.tryStatus().Sinks[0].Holding != "" })
			c.send(load{n: 8000, size: 4000})
			c.sentWhole()
			c.dmz.eventually("what finds no room is named", func() bool { return c.totals().Open.Records > 0 })
			for _, g := range c.gaps().Ranges {
				if g.Reason != "far-spool-full" {
					t.Errorf("range %d-%d has reason %s", g.First, g.Last, g.Reason)
				}
			}
			if out := c.dmz.sluice("diode", "gaps", "a"); !strings.Contains(out, "far-spool-full") {
				t.Errorf("the far side's operator is not told:\n%s", out)
			}
			free()
			c.send(load{n: 50, size: 100})
			if policy == "drop-new" {
				c.named("freed")
				c.resendReported()
				c.healed("after sending again")
			} else {
				c.oldestDropped()
			}
			c.stop()
		})
	}
}

// oldestDropped: what was given up for newer batches is named, and comes back. What the sink had in its hands just then is
// named as well, because nobody could know that the sink would write it: of this, no more than a sink's credit, a second
// copy with the same identity comes.
func (c *crossing) oldestDropped() {
	c.t.Helper()
	c.dmz.eventually("the sink has what is left", func() bool { return lag(c.dmz) == 0 && c.totals().Open.Records > 0 })
	missing, open := uint64(len(c.missing())), c.totals().Open.Records
	if missing == 0 || missing > open {
		c.t.Fatalf("%d records are missing in the file, by the ledger %d", missing, open)
	}
	inHand := open - missing
	if most := uint64(sdk.DefaultCredit / 4000); inHand > most { // a record is a little more
		c.t.Errorf("%d records are named although the sink has them, %d may be in its hands", inHand, most)
	}
	c.resendReported()
	c.dmz.eventually("no open gap", func() bool { return c.totals().OpenRanges == 0 && lag(c.dmz) == 0 })
	addsUp(c.t, "after sending again", c.totals())
	payloads, ids := map[string]int{}, map[string]string{}
	for _, r := range readRecords(c.t, c.records()) {
		p := string(r.bytes(c.t))
		payloads[p]++
		if ids[p] != "" && ids[p] != r.ID {
			c.t.Errorf("%q has two identities, %s and %s", head([]byte(p)), ids[p], r.ID)
		}
		ids[p] = r.ID
	}
	twice := uint64(0)
	for _, p := range c.sent {
		switch n := payloads[string(p)]; n {
		case 1:
		case 2:
			twice++
		default:
			c.t.Errorf("%q is in the far side's file %d times", head(p), n)
		}
	}
	if len(payloads) != len(c.sent) || twice != inHand {
		c.t.Errorf("%d different records of %d, %d twice, %d had been in the sink's hands", len(payloads), len(c.sent), twice, inHand)
	}
}
