package gateway

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/send"
	"github.com/sluice-gateway/sluice/gateway/spool"
)

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
