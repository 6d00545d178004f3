package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/recv"
	"github.com/sluice-gateway/sluice/diode/send"
	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/hcl/config"
)

// errStopped is what status says of a link once it was told to end.
var errStopped = errors.New("stopped")

const (
	// goBackTime and goBackBytes bound what a sender repeats after a start: frames that the kernel had taken can have
	// died in it. The far side removes what it has.
	goBackTime  = 2 * time.Second
	goBackBytes = 64 << 20
	// goBackEntries bounds it too: a receiver makes at most 200 small batches a second (ours).
	goBackEntries = 4096
	// linkRetry is the pause after a link ended with an error (ours).
	linkRetry = time.Second
	// linkTold is how often a link that ends with the same error again and again says so (ours).
	linkTold = time.Minute
	// linkBuffer is the receive buffer asked for, bytes (measured: 64 MiB loses nothing in 30 paced runs).
	linkBuffer = 64 << 20
)

// link is one end of a diode on this node.
type link struct {
	diode     *config.Diode
	direction string // "send" or "receive"
	origin    *origin
	start     func(ctx context.Context, l *link) error // opens the socket and runs one session
	log       *slog.Logger
	counts    linkCounts

	mu      sync.Mutex // guards what follows
	session session    // the one that runs; nil when none does
	failed  string     // why none does
	far     *far       // of the newest session of a receiving end
}

// session is one session of a link, as status sees it.
type session interface {
	show(st *console.Link)
}

// run keeps the link up until ctx ends: an error (no such interface yet, an address that is gone) is shown and tried
// again.
func (l *link) run(ctx context.Context) error {
	var told string
	var at time.Time
	for ctx.Err() == nil {
		err := l.start(ctx, l)
		if ctx.Err() != nil {
			break
		}
		if text := fmt.Sprint(err); text != told || time.Since(at) >= linkTold {
			told, at = text, time.Now()
			l.log.Error("link ended; trying again", "error", err, "every", linkRetry.String())
		}
		l.set(nil, err)
		select {
		case <-ctx.Done():
		case <-time.After(linkRetry):
		}
	}
	l.set(nil, errStopped)
	return nil
}

func (l *link) set(s session, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session, l.failed = s, ""
	if err != nil {
		l.failed = err.Error()
	}
}

// conns opens the links' sockets; the guard is behind it.
type conns interface {
	DiodeSend(ctx context.Context, iface, source string, dest netip.AddrPort) (udpConn, error)
	DiodeReceive(ctx context.Context, iface string, listen netip.AddrPort, rcvbuf int) (udpConn, error)
}

// sendEnd makes the start of a sending end.
func sendEnd(key [keyBytes]byte, stateDir string, open conns, health func() []byte) func(context.Context, *link) error {
	return func(ctx context.Context, l *link) error {
		d := l.diode
		conn, err := open.DiodeSend(ctx, d.Send.Interface, d.Send.Source.String(), d.Send.Destination)
		if err != nil {
			return err
		}
		defer closeQuietly(conn)
		sources, err := l.sources()
		if err != nil {
			return err
		}
		bulk := l.origin.logs[0]
		prev, last, sum, known := bulk.EpochInfo()
		s, err := send.New(send.Config{
			Link: d.Name, PSK: key, KeyID: keyID(d.Name, d.Pairing), Epoch: bulk.Epoch(),
			PrevEpoch: prev, PrevLast: last, PrevSum: sum, PrevKnown: known,
			Sources: sources, Conn: conn, MTU: d.Send.MTU, IPv6: d.Send.Source.Is6(), RateBits: uint64(d.Send.Rate),
			Parity: d.FEC.Parity, MaxDelay: d.FEC.MaxDelay, Interleave: d.FEC.Interleave, DesignLoss: d.FEC.DesignLoss,
			Repeat: d.FEC.Repeat, StateDir: filepath.Join(stateDir, "link", d.Name), Health: health, Log: l.log,
		})
		if err != nil {
			return err
		}
		l.set(sending{s}, nil)
		return s.Run(ctx)
	}
}

// sources returns one source per class, gone back a little.
func (l *link) sources() (map[diode.Class]send.Source, error) {
	cursors, err := l.origin.cursors(cursorName(linkCursor, l.diode.Name))
	if err != nil {
		return nil, err
	}
	back := min(goBackBytes, l.diode.Send.Rate/8*int64(goBackTime/time.Second))
	out := map[diode.Class]send.Source{}
	for i, c := range cursors {
		if err := c.Rewind(goBack(l.origin.logs[i], c.Acked()+1, back)); err != nil {
			return nil, fmt.Errorf("spool %q: %w", l.origin.name, err)
		}
		class := diode.Class(classes()[i])
		out[class] = &source{log: l.origin.logs[i], cursor: c, class: class}
	}
	return out, nil
}

// goBack returns the sequence that lies about bytes, but no more than goBackEntries, before next. What is no longer there
// ends the way back.
func goBack(log *spool.Log, next uint64, bytes int64) uint64 {
	first, _, _ := log.Bounds()
	var buf []byte
	for least := max(first, next-min(goBackEntries, next)); next > least && bytes > 0; next-- {
		e, err := log.Read(next-1, buf)
		if err != nil {
			break
		}
		buf = e.Data
		bytes -= int64(len(e.Data))
	}
	return next
}

// receiveEnd makes the start of a receiving end. Only when the spool has decided on everything that an earlier session
// left to it does its newest entry say where to go on.
func receiveEnd(key [keyBytes]byte, stateDir string, routed map[string]bool, open conns) func(context.Context, *link) error {
	return func(ctx context.Context, l *link) error {
		f, at, err := l.landing(ctx, routed)
		if err != nil {
			return err
		}
		d := l.diode
		conn, err := open.DiodeReceive(ctx, d.Receive.Interface, d.Receive.Listen, linkBuffer)
		if err != nil {
			return err
		}
		defer closeQuietly(conn)
		r, err := recv.New(recv.Config{
			Link: d.Name, Keys: []recv.Key{{ID: keyID(d.Name, d.Pairing), PSK: key}}, Conn: conn,
			Positions: at.positions, Open: at.open,
			StateDir: filepath.Join(stateDir, "link", d.Name), HoleAfter: d.Receive.HoleAfter,
			AlarmAfter: d.Receive.AlarmAfter, Sink: f, Log: l.log,
		})
		if err != nil {
			return err
		}
		f.current = func() [16]byte { return r.Stats().Epoch }
		l.set(receiving{r}, nil)
		return r.Run(ctx)
	}
}

// resume is where a link goes on.
type resume struct {
	positions []diode.Position
	open      []diode.Gap // named just now: a copy that still comes fills them
}

// landing makes the place where the next session delivers, and names what an earlier one lost and could not name.
func (l *link) landing(ctx context.Context, routed map[string]bool) (*far, resume, error) {
	if l.far != nil { // set by this goroutine alone
		if err := l.far.settled(ctx); err != nil {
			return nil, resume{}, err
		}
	}
	ps, lost, err := l.origin.positions()
	if err != nil {
		return nil, resume{}, err
	}
	gaps, err := l.origin.unnamed()
	if err != nil {
		return nil, resume{}, err
	}
	f := newFar(l.origin, ps, lost, &l.counts, l.log)
	f.routed = routed
	l.mu.Lock()
	l.far = f
	l.mu.Unlock()
	for _, g := range gaps {
		if err := f.Gap(ctx, g); err != nil {
			return nil, resume{}, fmt.Errorf("gap %d-%d of class %d not recorded: %w", g.First, g.Last, g.Class, err)
		}
	}
	return f, resume{positions: ps, open: gaps}, nil
}
