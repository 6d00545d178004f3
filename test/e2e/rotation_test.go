package e2e_test

import (
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode/pairing"
)

// TestPairingChanged: the receiving node takes both pairings, then the sending node changes, then the old one goes. With a
// repeat that is longer than a restart nothing is missing at any time. The keys of both appear nowhere.
func TestPairingChanged(t *testing.T) {
	s := shape{fec: `repeat = ["8s"]`}
	c := newCrossing(t, s).start()
	c.send(load{n: 200, size: 200})
	c.whole("old pairing")
	c.pair("second")
	s.pairing, s.older = "second", "first"
	c.configure(s)
	wait := c.flow(load{n: 300, size: 200, over: 3 * time.Second})
	c.dmz.stop()
	c.dmz.start()
	wait()
	c.whole("the far side takes both")
	c.paired(c.dmz, "second", "first")
	c.paired(c.plant, "first")
	c.plant.stop()
	c.joined("new pairing", c.plant.start)
	c.send(load{n: 200, size: 200})
	c.whole("the near side uses the new pairing")
	c.paired(c.plant, "second")
	s.older = ""
	c.configure(s)
	for i, n := range []*node{c.plant, c.dmz} {
		side := []pairing.Side{pairing.Send, pairing.Receive}[i]
		c.noSecrets(n, "first", "second")
		wipe(t, pairing.Path(filepath.Join(n.state, "keys"), side, "a", "first"))
	}
	wait = c.flow(load{n: 300, size: 200, over: 3 * time.Second})
	c.dmz.stop()
	c.dmz.start()
	wait()
	c.up()
	c.whole("the old pairing is gone")
	c.paired(c.dmz, "second")
	c.noGap("at the end")
	inOrder(t, "in the far side's file", c.arrived(), c.sent)
	c.stop()
}

// paired: the node's status names these pairings, the newest first.
func (c *crossing) paired(n *node, names ...string) {
	c.t.Helper()
	var got []string
	for _, p := range n.status().Links[0].Pairings {
		got = append(got, p.Name)
	}
	if fmt.Sprint(got) != fmt.Sprint(names) {
		c.t.Errorf("node %s uses pairings %v, want %v", n.name, got, names)
	}
}

// noSecrets looks for the keys of pairings wherever somebody else could read them: arguments and environments of the
// node's processes, its log, what it says to its operator, and every file of its state but the keys themselves.
func (c *crossing) noSecrets(n *node, names ...string) {
	c.t.Helper()
	secrets := map[string]string{}
	for _, name := range names {
		f, err := pairing.Load(filepath.Join(c.dir, "usb", "a-"+name+".receive.json"))
		if err != nil {
			c.t.Fatal(err)
		}
		psk := f.PSK()
		private, err := f.Private().Bytes()
		if err != nil {
			c.t.Fatal(err)
		}
		addForms(c.t, secrets, "the pre-shared key of "+name, hex.EncodeToString(psk[:]))
		addForms(c.t, secrets, "the private key of "+name, hex.EncodeToString(private))
	}
	places := map[string]string{"log": n.out.String()}
	for _, args := range [][]string{
		{"status"},
		{"status", "--json"},
		{"diode", "status"},
		{"diode", "status", "--json"},
		{"diode", "doctor"},
		{"diode", "doctor", "--json"},
	} {
		out, err := n.trySluice(args...) // doctor may find something bad
		places["sluice "+strings.Join(args, " ")] = out + fmt.Sprint(err)
	}
	c.processes(n, places)
	c.files(n, places)
	for where, content := range places {
		for what, secret := range secrets {
			if strings.Contains(strings.ToLower(content), secret) || strings.Contains(content, secret) {
				c.t.Errorf("node %s: %s holds %s", n.name, where, what)
			}
		}
	}
}

// processes adds what everybody may read of the processes of a node's namespace.
func (c *crossing) processes(n *node, places map[string]string) {
	c.t.Helper()
	seen := 0
	for pid := range strings.FieldsSeq(n.ns.Run("ip", "netns", "pids", n.ns.Name)) {
		for _, file := range []string{"cmdline", "environ"} {
			b, err := os.ReadFile(filepath.Join("/proc", pid, file))
			if err != nil {
				continue // it has ended
			}
			places[file+" of process "+pid] = string(b)
			seen++
		}
	}
	if seen < 4 { // the core and a plugin
		c.t.Errorf("node %s: only %d files of processes were read", n.name, seen)
	}
}

// files adds every file of a node's state, but keys: nobody else may read those.
func (c *crossing) files(n *node, places map[string]string) {
	c.t.Helper()
	keys := 0
	err := filepath.WalkDir(n.state, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // it has gone meanwhile
		}
		if filepath.Base(filepath.Dir(path)) == "keys" {
			keys++
			if info, err := d.Info(); err != nil || info.Mode().Perm() != 0o600 {
				c.t.Errorf("%s: %v, %v", path, info.Mode(), err)
			}
			return nil
		}
		if b, err := os.ReadFile(path); err == nil {
			places[path] = string(b)
		}
		return nil
	})
	if err != nil || keys != 2 {
		c.t.Errorf("node %s has %d files of keys, %v", n.name, keys, err)
	}
}
