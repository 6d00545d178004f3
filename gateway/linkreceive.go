package gateway

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/pairing"
	"github.com/sluice-gateway/sluice/diode/recv"
)

// receiveEnd makes the start of a receiving end. Only when the spool has decided on everything that an earlier session
// left to it does its newest entry say where to go on.
func receiveEnd(pairings []pairing.File, stateDir string, routed map[string]bool, open receiveConns) func(context.Context, *link) error {
	var keys []recv.Key
	for _, p := range pairings {
		keys = append(keys, recv.Key{ID: p.KeyID, PSK: p.PSK(), Private: p.Private()})
	}
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
			Paths:     []recv.Path{{Link: d.Name, Keys: keys, Conn: conn, StateDir: filepath.Join(stateDir, "link", d.Name)}},
			Positions: at.positions, Open: at.open, MemoryBytes: d.Receive.Memory, HoleAfter: d.Receive.HoleAfter,
			AlarmAfter: d.Receive.AlarmAfter, Sink: f, Log: l.log,
		})
		if err != nil {
			return err
		}
		f.current = func(c diode.Class) [16]byte { return currentEpoch(r.Stats(), c) }
		l.set(receiving{r}, nil)
		return r.Run(ctx)
	}
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
