package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// What an earlier configuration left on disk. Nothing that was acknowledged may vanish because a block did:
//
//	a sink that stands nowhere any more   its cursors go, else the spool could never be freed; what it had not got is named
//	a sink with enabled = false           its cursors stay, and keep its records
//	a spool that no receiver or link uses sinks that are behind in it go on until it is empty
//	    … with records for a diode        cannot be sent under another epoch: kept, and named at every start

// Prefixes of cursors' names.
const (
	sinkCursor = "sink."
	linkCursor = "link."
)

// maxCursor is what the spool allows for a cursor's name, bytes; nameHash is what stands for the end of a longer one.
const (
	maxCursor = 64
	nameHash  = 16
)

// cursorName is the name of a consumer's cursor. The names of blocks can be longer than a cursor's: then a hash stands
// for the end.
func cursorName(prefix, name string) string {
	if len(prefix)+len(name) <= maxCursor {
		return prefix + name
	}
	sum := sha256.Sum256([]byte(name))
	return prefix + name[:maxCursor-len(prefix)-nameHash-1] + "-" + hex.EncodeToString(sum[:nameHash/2])
}

// openLeftovers opens the spools that the configuration does not use and in which a sink of this node is behind.
func (g *Gateway) openLeftovers() error {
	dirs, err := os.ReadDir(g.spoolDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("spools: %w", err)
	}
	used := map[string]bool{}
	for name := range g.origins {
		used[originDir(name)] = true
	}
	for _, d := range dirs {
		if isOrigin(g.spoolDir(), d.Name()) && !used[d.Name()] {
			g.openLeftover(d.Name())
		}
	}
	return nil
}

// isOrigin tells a spool from what else somebody may have put there.
func isOrigin(dir, name string) bool {
	kind, _, _ := strings.Cut(name, "-")
	if !slices.Contains([]string{localOrigin, "via", "from"}, kind) {
		return false
	}
	st, err := os.Stat(filepath.Join(dir, name, className(classes()[0])))
	return err == nil && st.IsDir()
}

// openLeftover opens one. A spool that cannot be opened is no reason not to run: it was not needed.
func (g *Gateway) openLeftover(dir string) {
	path := filepath.Join(g.spoolDir(), dir)
	opts, err := spoolOptions(g.view.Node)
	if err != nil {
		g.warn("spool in %s: %v", path, err)
		return
	}
	name := strings.Replace(dir, "-", " ", 1)
	o, err := openOrigin(g.spoolDir(), name, g.inRoom(opts), g.log)
	if err != nil {
		g.warn("%s is not used by this configuration and cannot be opened: %v", path, err)
		return
	}
	g.forgetSinks(o)
	for _, l := range o.logs {
		g.check(l.RemoveCursor(ledgerCursor)) // nobody follows it any more
	}
	behind := 0
	for _, c := range o.consumers() {
		diode, isLink := strings.CutPrefix(c.name, linkCursor)
		switch {
		case c.entries == 0:
		case isLink:
			g.warn("%d records in %s wait for diode %q, which does not take from there any more: put its routes back to send them, or remove the directory while the node does not run",
				c.weight, path, diode)
		default:
			behind++
		}
	}
	if behind == 0 {
		g.check(o.Close())
		return
	}
	g.log.Info("spool of an earlier configuration is delivered first", "spool", name)
	g.origins[name] = o
}

// forgetSinks removes the cursors of sinks that stand nowhere in the configuration of this node.
func (g *Gateway) forgetSinks(o *origin) {
	for _, c := range o.consumers() {
		if !strings.HasPrefix(c.name, sinkCursor) || g.knownSink(c.name) {
			continue
		}
		if c.entries > 0 {
			g.warn("sink %s is not configured any more: %d records in spool %q that it had not acknowledged are no longer kept for it",
				strings.TrimPrefix(c.name, sinkCursor), c.weight, o.name)
		}
		for _, l := range o.logs {
			g.check(l.RemoveCursor(c.name))
		}
	}
}

func (g *Gateway) knownSink(cursor string) bool {
	for _, s := range g.opts.Plan.Config.Sinks {
		if s.Node == g.opts.Node && cursorName(sinkCursor, Label(s.Address)) == cursor {
			return true
		}
	}
	return false
}

// check logs what is no reason to stop.
func (g *Gateway) check(err error) {
	if err != nil {
		g.log.Warn("spool", "error", err)
	}
}

// consumer is how far behind one consumer of an origin is, over all classes.
type consumer struct {
	name            string // of its cursors
	entries, weight uint64
}

// consumers lists the cursors of an origin by name.
func (o *origin) consumers() []consumer {
	var out []consumer
	for _, l := range o.logs {
		for _, c := range l.Stats().Cursors {
			i := slices.IndexFunc(out, func(x consumer) bool { return x.name == c.Name })
			if i < 0 {
				i, out = len(out), append(out, consumer{name: c.Name})
			}
			out[i].entries += c.LagEntries
			out[i].weight += c.LagWeight
		}
	}
	return out
}
