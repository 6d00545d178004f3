package e2e_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode/floor"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/pairing"
	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// joining is how long a link may take that is up within one heartbeat, which comes every second: three of them, because
// tests share the machine.
const joining = 3 * time.Second

// joined: the far side hears a session that it did not know, soon.
func (c *crossing) joined(what string, start func()) {
	c.t.Helper()
	before := c.session()
	// Sessions are numbered by the clock, in seconds, and a state from the past knows no number that it can go on from: a
	// machine is not replaced within a second.
	c.dmz.eventually("the second of the last session is over", func() bool { return time.Now().Unix() > int64(before) })
	begin := time.Now()
	start()
	c.dmz.eventually(what+": the link is up with a new session", func() bool {
		l := c.dmz.tryStatus().Links
		return len(l) > 0 && l[0].State == "up" && c.session() > before
	})
	d := time.Since(begin)
	c.t.Logf("%s: up after %v", what, d.Round(time.Millisecond))
	if d > joining+launching {
		c.t.Errorf("%s: up only after %v", what, d)
	}
}

// launching is what starting a process with its plugins may take on a busy machine.
const launching = 10 * time.Second

func (c *crossing) session() uint64 {
	if l := c.dmz.tryStatus().Links; len(l) > 0 && l[0].Receive != nil {
		return l[0].Receive.Session
	}
	return 0
}

// alarmed waits for an alarm that the far side shows to its operator.
func (c *crossing) alarmed(part string) {
	c.t.Helper()
	var out string
	eventually(c.t, "an alarm with "+part, patience, func() bool {
		out, _ = c.dmz.trySluice("diode", "status", "a")
		for line := range strings.Lines(out) {
			if strings.Contains(line, "ALARM") && strings.Contains(line, part) {
				return true
			}
		}
		return false
	}, func() string { return "sluice diode status a:\n" + out })
}

// endNamed: the end of the epoch before is named as not known. It is lost for good as soon as the near side has said that
// it keeps nothing of that epoch.
func (c *crossing) endNamed() {
	c.t.Helper()
	var list console.GapList
	c.dmz.eventually("the unknown end of the old epoch is named", func() bool {
		list = c.gaps("--all")
		return slices.ContainsFunc(list.Ranges, func(g console.GapRange) bool { return g.Last == 0 && g.Reason == "epoch-end" })
	})
}

// TestSendNodeReplacedByASpare: what the old machine had not brought across is named as not known, and nothing of the
// spare's is dropped.
func TestSendNodeReplacedByASpare(t *testing.T) {
	c := newCrossing(t, shape{}).start()
	c.send(load{n: 500, size: 200})
	c.whole("before")
	c.wires[0].Set(netlab.Faults{Cut: true})
	c.send(load{n: 100, size: 200})
	c.sent = c.sent[:500] // these die with the old machine
	c.plant.kill()
	c.wires[0].Set(netlab.Faults{})
	c.plant.newMachine()
	c.install(c.plant, "send", "first")
	c.joined("spare", c.plant.start)
	c.send(load{n: 500, size: 200})
	c.whole("after")
	c.endNamed()
	if conflicts := c.dmz.status().Links[0].Receive.Conflicts; conflicts != 0 {
		t.Errorf("%d of the spare's batches were taken for old ones", conflicts)
	}
	c.stop()
}

// TestSendNodeRestoredFromABackup, with the documented step and, as happens, without it.
func TestSendNodeRestoredFromABackup(t *testing.T) {
	for name, marks := range map[string]bool{"marks removed": false, "marks left": true} {
		t.Run(name, func(t *testing.T) {
			c := newCrossing(t, shape{}).start()
			c.send(load{n: 300, size: 200})
			c.whole("before the backup")
			c.plant.stop()
			backup := filepath.Join(c.dir, "backup")
			copyDir(t, c.plant.state, backup)
			c.plant.start()
			c.send(load{n: 300, size: 200})
			c.whole("after the backup")
			c.plant.kill()
			c.plant.newMachine()
			copyDir(t, backup, c.plant.state)
			if !marks {
				found, err := filepath.Glob(filepath.Join(c.plant.state, "plant", "spool", "via-a", "*", "mark"))
				if err != nil || len(found) != 2 {
					t.Fatalf("marks: %v, %v", found, err)
				}
				for _, m := range found {
					wipe(t, m)
				}
			}
			c.joined("restored", c.plant.start)
			c.send(load{n: 500, size: 300})
			c.whole("after the restore")
			if marks {
				c.alarmed("went back")
			} else {
				c.endNamed()
			}
			c.stop()
		})
	}
}

// TestReceiveNodeReplacedByASpare: what was sent before it is named with its records, and can be sent again.
func TestReceiveNodeReplacedByASpare(t *testing.T) {
	c := newCrossing(t, shape{}).start()
	c.send(load{n: 500, size: 200})
	c.send(load{n: 20, size: 200, high: true})
	c.whole("before")
	c.dmz.kill()
	c.dmz.newMachine()
	c.install(c.dmz, "receive", "first")
	c.joined("spare", c.dmz.start)
	c.send(load{n: 200, size: 200})
	c.send(load{n: 20, size: 200, high: true})
	c.named("after joining")
	for _, g := range c.gaps().Ranges {
		if g.Reason != "before-first-contact" {
			t.Errorf("range %d-%d has reason %s", g.First, g.Last, g.Reason)
		}
	}
	if open := c.totals().Open.Records; open != 520 {
		t.Errorf("%d records are named as missing, 520 were sent before the spare", open)
	}
	c.resendTyped()
	c.healed("after sending again")
	c.stop()
}

// TestReceiveNodeRestoredFromABackup: what came since the backup is named, and can be sent again.
func TestReceiveNodeRestoredFromABackup(t *testing.T) {
	c := newCrossing(t, shape{}).start()
	c.send(load{n: 300, size: 200})
	c.whole("before the backup")
	c.dmz.stop()
	backup := filepath.Join(c.dir, "backup")
	copyDir(t, c.dmz.state, backup)
	c.dmz.start()
	c.up()
	c.send(load{n: 300, size: 200})
	c.whole("after the backup")
	c.dmz.kill()
	c.dmz.newMachine()
	copyDir(t, backup, c.dmz.state)
	c.joined("restored", c.dmz.start)
	c.send(load{n: 100, size: 200})
	c.named("after the restore")
	if open := c.totals().Open.Records; open != 300 {
		t.Errorf("%d records are named as missing, 300 came after the backup", open)
	}
	c.resendReported()
	c.healed("after sending again")
	c.stop()
}

// TestSenderWhoseClockWasAhead: its sessions had numbers from the future, so those of a spare with a right clock are refused
// until somebody on the far side accepts them.
func TestSenderWhoseClockWasAhead(t *testing.T) {
	const year = 365 * 24 * 3600
	c := newCrossing(t, shape{})
	f, err := floor.Open(filepath.Join(c.plant.state, "plant", "link", "a"), "send", frame.LinkID("a"), pairing.KeyID("a", "first"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Store(floor.Mark{Session: uint64(time.Now().Unix()) + year}); err != nil {
		t.Fatal(err)
	}
	c.start()
	c.send(load{n: 100, size: 200})
	c.whole("clock ahead")
	if out := c.plant.sluice("diode", "status", "a"); !strings.Contains(out, "ahead of the clock") {
		t.Errorf("the near side does not say that its sessions are ahead of the clock:\n%s", out)
	}
	c.plant.kill()
	c.plant.newMachine()
	c.install(c.plant, "send", "first")
	c.plant.start()
	c.alarmed("went back")
	if got := len(c.arrived()); got != 100 {
		t.Errorf("%d records in the far side's file, 100 came before the spare was refused", got)
	}
	begin := time.Now()
	out := c.dmz.sluice("diode", "accept-sender", "a", "--yes")
	t.Logf("sluice diode accept-sender a\n%s", out)
	near := c.plant.status().Links[0].Send.Session
	c.dmz.eventually("the accepted session is in use", func() bool { return c.session() == near })
	c.up()
	t.Logf("up %v after accepting", time.Since(begin).Round(time.Millisecond))
	c.send(load{n: 100, size: 200})
	c.whole("accepted")
	c.stop()
}

// newMachine puts another machine in a node's place: nothing runs on it, not even the guard's warden, and its disk is empty.
func (n *node) newMachine() {
	n.t.Helper()
	n.ns.Empty()
	wipe(n.t, n.state)
}

func wipe(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// copyDir copies a state directory of a node that does not run: what an operator's backup does. Sockets are left out.
func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	keepOwner(t, from, to)
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		a, b := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case e.IsDir():
			copyDir(t, a, b)
		case info.Mode().IsRegular():
			content, err := os.ReadFile(a)
			if err == nil {
				err = os.WriteFile(b, content, info.Mode().Perm())
			}
			if err != nil {
				t.Fatal(err)
			}
			keepOwner(t, a, b)
		}
	}
}

// keepOwner gives a copy the owner of the original: some files are the plugins' user's.
func keepOwner(t *testing.T, from, to string) {
	t.Helper()
	info, err := os.Stat(from)
	if err != nil {
		t.Fatal(err)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		err = os.Lchown(to, int(st.Uid), int(st.Gid))
	}
	if err != nil {
		t.Fatal(err)
	}
}
