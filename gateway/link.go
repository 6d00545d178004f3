package gateway

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
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

const (
	// goBackTime and goBackBytes bound what a sender repeats after a start: frames that the kernel had taken can have
	// died in it. The far side removes what it has.
	goBackTime  = 2 * time.Second
	goBackBytes = 64 << 20
	// linkRetry is the pause after a link ended with an error (ours).
	linkRetry = time.Second
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

	mu     sync.Mutex // guards what follows
	detail func() any // of the session that runs
	state  func() string
	failed string
	far    *far
}

// run keeps the link up until ctx ends: an error (no such interface yet, an address that is gone) is shown and tried
// again.
func (l *link) run(ctx context.Context) error {
	for ctx.Err() == nil {
		err := l.start(ctx, l)
		if ctx.Err() != nil {
			return nil
		}
		l.log.Error("link ended; trying again", "error", err, "after", linkRetry.String())
		l.set(nil, nil, err)
		select {
		case <-ctx.Done():
		case <-time.After(linkRetry):
		}
	}
	return nil
}

func (l *link) set(detail func() any, state func() string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.detail, l.state, l.failed = detail, state, ""
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
			Sources: sources, Conn: conn, MTU: d.Send.MTU, IPv6: d.Send.Source.Is6(), RateBits: uint64(d.Send.Rate), //nolint:gosec // positive
			Parity: d.FEC.Parity, MaxDelay: d.FEC.MaxDelay, Interleave: d.FEC.Interleave, DesignLoss: d.FEC.DesignLoss,
			Repeat: d.FEC.Repeat, StateDir: filepath.Join(stateDir, "link", d.Name), Health: health, Log: l.log,
		})
		if err != nil {
			return err
		}
		l.set(func() any { return s.Stats() }, func() string { return sendState(s.Stats()) }, nil)
		return s.Run(ctx)
	}
}

func sendState(st send.Stats) string {
	if st.Holding {
		return "holding: " + st.HoldingCause
	}
	return "up"
}

// sources returns one source per class, gone back a little.
func (l *link) sources() (map[diode.Class]send.Source, error) {
	cursors, err := l.origin.cursors("link." + l.diode.Name)
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

// goBack returns the sequence that lies about bytes before next. What is no longer there ends the way back.
func goBack(log *spool.Log, next uint64, bytes int64) uint64 {
	first, _, _ := log.Bounds()
	var buf []byte
	for next > first && bytes > 0 {
		e, err := log.Read(next-1, buf)
		if err != nil {
			return next
		}
		buf = e.Data
		bytes -= int64(len(e.Data))
		next--
	}
	return next
}

// receiveEnd makes the start of a receiving end.
func receiveEnd(key [keyBytes]byte, stateDir string, open conns) func(context.Context, *link) error {
	return func(ctx context.Context, l *link) error {
		d := l.diode
		conn, err := open.DiodeReceive(ctx, d.Receive.Interface, d.Receive.Listen, linkBuffer)
		if err != nil {
			return err
		}
		defer closeQuietly(conn)
		ps, lost, err := l.origin.positions()
		if err != nil {
			return err
		}
		f := newFar(l.origin, ps, lost, &l.counts, l.log)
		r, err := recv.New(recv.Config{
			Link: d.Name, Keys: []recv.Key{{ID: keyID(d.Name, d.Pairing), PSK: key}}, Conn: conn, Positions: ps,
			StateDir: filepath.Join(stateDir, "link", d.Name), HoleAfter: d.Receive.HoleAfter,
			AlarmAfter: d.Receive.AlarmAfter, Sink: f, Log: l.log,
		})
		if err != nil {
			return err
		}
		l.mu.Lock()
		l.far = f
		l.mu.Unlock()
		l.set(func() any { return receiveDetail(r.Stats()) }, func() string { return string(r.Stats().State) }, nil)
		return r.Run(ctx)
	}
}

// receiveStats shows identities in hexadecimal and the near side's health as it was written.
type receiveStats struct {
	recv.Stats
	Epoch  string
	Health json.RawMessage `json:",omitempty"`
}

func receiveDetail(st recv.Stats) receiveStats {
	d := receiveStats{Stats: st, Epoch: hex.EncodeToString(st.Epoch[:])}
	if json.Valid(st.Health) {
		d.Health = st.Health
	}
	return d
}

func (l *link) status() console.Link {
	l.mu.Lock()
	defer l.mu.Unlock()
	st := console.Link{Name: l.diode.Name, Direction: l.direction, State: "down", Dropped: l.counts.dropped.snapshot()}
	st.Peer = l.diode.To + " " + l.diode.Send.Destination.String()
	if l.direction == "receive" {
		st.Peer = l.diode.From + " at " + l.diode.Receive.Listen.String()
	}
	if l.failed != "" {
		st.State = "down: " + l.failed
	}
	if l.detail != nil {
		st.Detail, st.State = l.detail(), l.state()
	}
	if l.far != nil {
		t := l.far.totals()
		st.Lost = console.Drop{Batches: t.Batches, Records: t.Records}
	}
	return st
}

func closeQuietly(c io.Closer) { _ = c.Close() }
