package gateway

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/diode/pairing"
	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/hcl/config"
)

// aheadMost is how far a session's number may be ahead of the clock: numbers rise by one with every start within a
// second, and by the clock otherwise. More means that a clock was wrong (ours).
const aheadMost = time.Hour

// findings are collected about one end of a link.
type findings struct {
	link, side string
	list       []console.Fact
}

func (f *findings) add(name, state, value, remedy string) {
	f.list = append(f.list, console.Fact{Link: f.link, Side: f.side, Name: name, State: state, Value: value, Remedy: remedy})
}

func (f *findings) ok(name, value string)           { f.add(name, console.FactOK, value, "") }
func (f *findings) warn(name, value, remedy string) { f.add(name, console.FactWarn, value, remedy) }
func (f *findings) bad(name, value, remedy string)  { f.add(name, console.FactBad, value, remedy) }

// examined is a session that says what it finds of itself.
type examined interface {
	examine(f *findings)
}

// Doctor examines the end of one link, or of all links of the node. Ends are looked at together: watching what arrives
// takes seconds.
func (g *Gateway) Doctor(ctx context.Context, name string) ([]console.Fact, error) {
	var ends []*findings
	var wg sync.WaitGroup
	examine := func(v config.LinkView, side pairing.Side) {
		if name != "" && v.Diode.Name != name {
			return
		}
		f := &findings{link: v.Diode.Name, side: string(side)}
		ends = append(ends, f)
		wg.Go(func() { g.examine(ctx, f, v.Diode, side) })
	}
	for _, v := range g.view.Send {
		examine(v, pairing.Send)
	}
	for _, v := range g.view.Receive {
		examine(v, pairing.Receive)
	}
	wg.Wait()
	if len(ends) == 0 && name != "" {
		_, err := g.findLink(name, "", nil, nil)
		return nil, err
	}
	out := []console.Fact{}
	for _, f := range ends {
		out = append(out, f.list...)
	}
	return out, ctx.Err()
}

func (g *Gateway) examine(ctx context.Context, f *findings, d *config.Diode, side pairing.Side) {
	l := g.endOf(d.Name, side)
	f.keys(g.opts.StateDir, d, side, l)
	f.session(l)
	if l != nil {
		for i, log := range l.origin.logs {
			f.spool(className(classes()[i]), log.Stats())
		}
	}
	if side == pairing.Send {
		f.speed(g.guard.Snapshot(), d)
	} else if l != nil {
		digest := g.opts.Plan.Config.Digest()
		f.sameConfig(l, digest[:digestShown])
	}
	for _, x := range g.guard.DiodeFacts(ctx, query(d, side)) {
		f.add(x.Name, x.State, x.Value, x.Remedy)
	}
}

// endOf returns the running end of a link, or nil.
func (g *Gateway) endOf(name string, side pairing.Side) *link {
	for _, l := range g.links {
		if l.direction == string(side) && l.diode.Name == name {
			return l
		}
	}
	return nil
}

// query says what the guard shall look at.
func query(d *config.Diode, side pairing.Side) guard.DiodeQuery {
	q := guard.DiodeQuery{Interface: d.Send.Interface, Source: d.Send.Source, Address: d.Send.Destination, MAC: d.Send.DestinationMAC, MTU: d.Send.MTU}
	if side == pairing.Receive {
		q.Receive, q.Interface, q.Source, q.Address = true, d.Receive.Interface, d.Receive.Source, d.Receive.Listen
		q.Capture, q.Buffer = d.Receive.Capture == config.CapturePacket, linkBuffer
	}
	return q
}

// keys looks at the files as they are now: the node has read them when it started.
func (f *findings) keys(stateDir string, d *config.Diode, side pairing.Side, l *link) {
	for i, name := range []string{d.Pairing, d.PreviousPairing} {
		if name == "" || (i == 1 && side == pairing.Send) {
			continue
		}
		p, err := findPairing(stateDir, side, d.Name, name)
		switch {
		case err != nil:
			f.bad("pairing "+name, err.Error(), fmt.Sprintf("put the file of the %s side into %s: sluice diode pair --install FILE", side, keysDir(stateDir)))
		case l != nil && !l.holds(p):
			f.warn("pairing "+name, "the file has changed since this node started", "restart the node to use it, or put the former file back")
		default:
			f.ok("pairing "+name, "fingerprint "+p.Fingerprint)
		}
	}
}

// holds says whether the end uses this very pairing.
func (l *link) holds(p pairing.File) bool {
	for _, have := range l.pairings {
		if have.Pairing == p.Pairing && have.Fingerprint == p.Fingerprint {
			return true
		}
	}
	return false
}

func (f *findings) session(l *link) {
	if l == nil {
		f.bad("link", "is not open on this node", "see the warnings in sluice status")
		return
	}
	l.mu.Lock()
	s, failed := l.session, l.failed
	l.mu.Unlock()
	x, ok := s.(examined)
	switch {
	case failed != "":
		f.bad("link", "down: "+failed, "it is tried again every second; what is bad below says why")
	case !ok:
		f.warn("link", "is being opened", "ask again")
	default:
		x.examine(f)
	}
}

// examine says what a sending end finds of itself.
func (s *sending) examine(f *findings) {
	st := s.Stats()
	switch {
	case st.Holding:
		f.bad("link", "holding since "+st.HoldingSince.UTC().Format(time.RFC3339)+": "+st.HoldingCause, "nothing is lost while it holds; what is bad below says why")
	case st.SessionProblem != "":
		f.bad("link", "no session: "+st.SessionProblem, "look at the state directory and its disk")
	default:
		f.ok("link", fmt.Sprintf("up, session %d", st.Session))
	}
	if st.SessionAhead > aheadMost {
		f.warn("session number", fmt.Sprintf("%s ahead of the clock: the clock is wrong, or was", st.SessionAhead),
			"set the clock; sessions go on by one from the number that was used, so the link works")
	} else {
		f.ok("session number", "by the clock")
	}
	if st.Oversize > 0 {
		f.bad("batches", fmt.Sprintf("%d were too large for the link and left out", st.Oversize), "report it: no receiver should make such batches")
	}
	if st.CopiesMissing > 0 {
		f.warn("copies", fmt.Sprintf("%d were due when their batch was no longer kept", st.CopiesMissing), "keep sent batches longer, or give the spool more room")
	}
}

func (f *findings) spool(class string, st spool.Stats) {
	name := "spool " + class
	switch {
	case st.State == spool.StateFull:
		f.bad(name, "full: "+st.StateError, "free the disk, or raise spool.max_size")
	case st.State != spool.StateOK:
		f.bad(name, string(st.State)+": "+st.StateError, "look at the disk and at the kernel's log")
	case st.Lost.Entries > 0:
		f.warn(name, fmt.Sprintf("%d batches are damaged on disk", st.Lost.Entries), "look at the disk: the far side names them as a gap")
	default:
		f.ok(name, fmt.Sprintf("%d batches, %d MiB", st.Entries, st.Bytes>>20))
	}
}

// speed holds the configured rate against that of the interface, where its driver tells it.
func (f *findings) speed(s guard.Snapshot, d *config.Diode) {
	for _, x := range s.Decisions {
		if x.Name != d.Send.Interface {
			continue
		}
		b, err := os.ReadFile(filepath.Join("/sys/class/net", x.Name, "speed")) // Mbit/s (sysfs-class-net)
		mbit, perr := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
		if err != nil || perr != nil || mbit <= 0 {
			return // virtual, or down
		}
		if rate := d.Send.Rate / 1_000_000; rate > mbit {
			f.bad("rate", fmt.Sprintf("%d Mbit/s, and %s does %d", rate, x.Name, mbit), "lower send.rate below the interface's, or find out why it is slow")
			return
		}
		f.ok("rate", fmt.Sprintf("%d of %d Mbit/s", d.Send.Rate/1_000_000, mbit))
	}
}
