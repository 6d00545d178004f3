package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/pairing"
	"github.com/sluice-gateway/sluice/diode/recv"
	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/hcl/config"
	"github.com/sluice-gateway/sluice/sdk"
)

// group is the receiving end of diodes that carry the same batches in parallel, most often of one: one receiver with a
// path per diode, one spool, one gap ledger.
//
//	diode a ─► path ─┐
//	diode b ─► path ─┴─► recv ─► far ─► spool ─► sinks
//	                       └─► books ◄──┘
type group struct {
	name     string // of the diodes: "a+b"
	ends     []receiveEnd
	origin   *origin
	books    *books
	stateDir string
	routed   map[string]bool // receivers that a sink of this node takes
	room     recv.Room
	log      *slog.Logger
	counts   linkCounts

	mu       sync.Mutex // guards what follows
	receiver *recv.Receiver
	far      *far // of the newest session
}

// openReceiveLinks opens the receiving ends, group by group.
func (g *Gateway) openReceiveLinks() error {
	for _, v := range g.view.ReceiveGroups() {
		x, err := g.openGroup(v)
		if err != nil {
			return err
		}
		for _, v := range v.Links {
			if err := g.openReceiveLink(x, v.Diode); err != nil {
				return err
			}
		}
	}
	return nil
}

// openGroup opens spool and ledger of a group; the ledger first, because the spool may give up batches at once.
func (g *Gateway) openGroup(v config.GroupView) (*group, error) {
	log := g.log.With("link", v.Name)
	links := filepath.Join(g.opts.nodeDir(), "link")
	b, err := openBooks(filepath.Join(links, originDir(v.Name), "ledger"), g.room, log)
	if err != nil {
		return nil, err
	}
	x := &group{name: v.Name, books: b, stateDir: g.opts.nodeDir(), routed: g.routed(), log: log}
	if g.room != nil {
		x.room = g.room
	}
	g.groups = append(g.groups, x) // which closes the ledger from now on
	var diodes []string
	for _, l := range v.Links {
		diodes = append(diodes, l.Diode.Name)
	}
	if err := b.regroup(links, v.Name, diodes); err != nil {
		g.warn("what an earlier gap ledger has open is not listed by that of %s: %v", v.Name, err)
	}
	opts, err := g.receiveOptions(v)
	if err != nil {
		return nil, err
	}
	name := fromOrigin(v.Name)
	evict := func(c sdk.Class) func(spool.EntryHead) error {
		return func(h spool.EntryHead) error { return b.evict(c, h) }
	}
	o, err := openOriginWith(g.spoolDir(), name, g.inRoom(opts), evict, g.log)
	if err != nil {
		return nil, err
	}
	g.origins[name], x.origin = o, o
	return x, b.follow(o)
}

// receiveOptions of the spool that a group delivers to. What is given up of it is decided per diode; where diodes of one
// group disagree, what is there already stays.
func (g *Gateway) receiveOptions(v config.GroupView) (spool.Options, error) {
	o, err := spoolOptions(g.view.Node)
	if err != nil {
		return o, err
	}
	o.QueueBytes = farQueueBytes
	word := v.Links[0].Diode.Receive.WhenFull
	for _, l := range v.Links {
		if l.Diode.Receive.WhenFull != word {
			g.warn("the diodes %s carry the same batches and differ in when_full: %s is taken", v.Name, spool.DropNew)
			word = spool.DropNew.String()
		}
	}
	if word != "" {
		o.WhenFull, err = spool.ParsePolicy(word)
	}
	return o, err
}

func (g *Gateway) openReceiveLink(x *group, d *config.Diode) error {
	keys, err := g.pairings(pairing.Receive, d)
	if err != nil {
		return err
	}
	l := &link{diode: d, direction: "receive", origin: x.origin, group: x, log: g.log.With("link", d.Name), pairings: keys}
	x.ends = append(x.ends, receiveEnd{link: l, conns: guardSockets{g.guard}})
	g.links = append(g.links, l)
	return nil
}

// run keeps the group up until ctx ends.
func (x *group) run(ctx context.Context) error {
	var wg sync.WaitGroup
	following, stop := context.WithCancel(context.WithoutCancel(ctx)) // until the last batch is decided on
	wg.Go(func() { x.books.run(following) })
	keepUp(ctx, complaint{log: x.log, text: "link ended; trying again"}, x.session, func(err error) { x.set(nil, err) })
	x.set(nil, errStopped)
	stop()
	wg.Wait()
	return nil
}

// session runs one receiver. Only when the spool has decided on everything that an earlier session left to it does its
// newest entry say where to go on.
func (x *group) session(ctx context.Context) error {
	f, at, err := x.landing(ctx)
	if err != nil {
		return err
	}
	c := recv.Config{
		Name: x.name, Positions: at.positions, Open: at.open, Sink: f, Heard: x.books.hear, Room: x.room, Log: x.log,
	}
	for _, e := range x.ends {
		r := e.link.diode.Receive
		c.Paths = append(c.Paths, e.path(x.stateDir))
		c.MemoryBytes, c.HoleAfter, c.AlarmAfter = max(c.MemoryBytes, r.Memory), max(c.HoleAfter, r.HoleAfter), max(c.AlarmAfter, r.AlarmAfter)
	}
	r, err := recv.New(c)
	if err != nil {
		return err
	}
	f.current = func(c diode.Class) [16]byte { return currentEpoch(r.Stats(), c) }
	x.books.lose(r.Missing)
	defer x.books.lose(nil)
	x.set(r, nil)
	return r.Run(ctx)
}

// set notes the receiver that runs; without one, err says why.
func (x *group) set(r *recv.Receiver, err error) {
	x.mu.Lock()
	x.receiver = r
	x.mu.Unlock()
	for _, e := range x.ends {
		if r == nil {
			e.link.set(nil, err)
			continue
		}
		e.link.set(receiving{Receiver: r, group: x}, nil)
	}
}

// running is the receiver, or nil.
func (x *group) running() (*recv.Receiver, *far) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.receiver, x.far
}

// currentEpoch is the epoch that the near side is in, as far as is known.
func currentEpoch(st recv.Stats, c diode.Class) [16]byte {
	for _, s := range st.Series {
		if s.Current && s.Class == c {
			return s.Epoch
		}
	}
	return [16]byte{}
}

// resume is where a link goes on.
type resume struct {
	positions []diode.Position
	open      []diode.Gap // a copy that still comes fills them
}

// landing makes the place where the next session delivers, brings the ledger up to date, and names what an earlier
// session lost and could not name.
func (x *group) landing(ctx context.Context) (*far, resume, error) {
	if _, f := x.running(); f != nil {
		if err := f.settled(ctx); err != nil {
			return nil, resume{}, err
		}
	}
	if err := x.books.catchUp(ctx); err != nil {
		return nil, resume{}, err
	}
	ps, lost, err := x.origin.positions()
	if err != nil {
		return nil, resume{}, err
	}
	gaps, err := x.origin.unnamed()
	if err != nil {
		return nil, resume{}, err
	}
	f := newFar(x.origin, ps, lost, &x.counts, x.log)
	f.routed, f.books = x.routed, x.books
	x.mu.Lock()
	x.far = f
	x.mu.Unlock()
	for _, g := range gaps {
		if err := f.Gap(ctx, g); err != nil {
			return nil, resume{}, fmt.Errorf("gap %d-%d of class %d not recorded: %w", g.First, g.Last, g.Class, err)
		}
	}
	return f, resume{positions: ps, open: x.books.ledger.Missing()}, nil
}

// lastBatch is when the newest batch came from the link.
func (f *far) lastBatch() time.Time {
	if n := f.newest.Load(); n != 0 {
		return time.Unix(0, n)
	}
	return time.Time{}
}
