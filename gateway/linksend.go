package gateway

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/pairing"
	"github.com/sluice-gateway/sluice/diode/send"
	"github.com/sluice-gateway/sluice/gateway/spool"
)

// sendConns opens the sockets of sending ends; the guard is behind it.
type sendConns interface {
	DiodeSend(ctx context.Context, iface, source string, dest netip.AddrPort) (udpConn, error)
	DiodeReady(iface string, dest netip.AddrPort) error
}

// sendEnd is what every start of a sending end is made from.
type sendEnd struct {
	pairing  pairing.File
	stateDir string
	parallel bool // the same batches cross another diode too
	open     sendConns
	health   func() []byte
	room     send.Room // keeps disk space for small files; nil = none
}

// start runs one session.
func (e sendEnd) start(ctx context.Context, l *link) error {
	conn, err := e.open.DiodeSend(ctx, l.diode.Send.Interface, l.diode.Send.Source.String(), l.diode.Send.Destination)
	if err != nil {
		return err
	}
	defer closeQuietly(conn)
	sources, err := l.sources()
	if err != nil {
		return err
	}
	s, err := send.New(e.config(l, conn, sources))
	if err != nil {
		return err
	}
	logs := map[diode.Class]bounded{}
	for _, src := range sources {
		logs[src.class] = src
	}
	l.unsent.again(s, logs, l.log)
	defer l.unsent.ended(s)
	l.set(&sending{Sender: s, sources: sources}, nil)
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, src := range sources {
		wg.Go(func() { src.watch(ctx) })
	}
	defer wg.Wait()
	defer stop()
	return s.Run(ctx)
}

func (e sendEnd) config(l *link, conn udpConn, sources []*source) send.Config {
	d := l.diode
	c := send.Config{
		Link: d.Name, PSK: e.pairing.PSK(), KeyID: e.pairing.KeyID, Public: e.pairing.Public(),
		Classes: map[diode.Class]send.ClassConfig{}, Conn: conn, MTU: d.Send.MTU, IPv6: d.Send.Source.Is6(),
		RateBits: uint64(d.Send.Rate), ResendBits: uint64(d.Send.ResendRate), Interleave: d.FEC.Interleave,
		Parallel: e.parallel, Ready: func() error { return e.open.DiodeReady(d.Send.Interface, d.Send.Destination) },
		StateDir: filepath.Join(e.stateDir, "link", d.Name), Room: e.room, Health: e.health, Log: l.log,
	}
	for _, s := range sources {
		own := send.ClassConfig{
			Source: s, Epoch: s.epoch, Parity: d.FEC.Parity, DesignLoss: d.FEC.DesignLoss, MaxDelay: d.FEC.MaxDelay, Repeat: d.FEC.Repeat,
		}
		if f := d.FEC.Critical; s.class == diode.Critical {
			own.Parity, own.DesignLoss, own.MaxDelay, own.Repeat = f.Parity, f.DesignLoss, f.MaxDelay, f.Repeat
		}
		own.Repeat = append([]time.Duration{}, own.Repeat...) // never nil, which would mean another's
		c.Classes[s.class] = own
	}
	return c
}

// sources returns one source per class, gone back a little.
func (l *link) sources() ([]*source, error) {
	cursors, err := l.origin.cursors(cursorName(linkCursor, l.diode.Name))
	if err != nil {
		return nil, err
	}
	back := min(goBackBytes, l.diode.Send.Rate/8*int64(goBackTime/time.Second))
	var out []*source
	for i, c := range cursors {
		if err := c.Rewind(goBack(l.origin.logs[i], c.Acked()+1, back)); err != nil {
			return nil, fmt.Errorf("spool %q class %s: %w", l.origin.name, className(classes()[i]), err)
		}
		out = append(out, newSource(l.origin.logs[i], c, diode.Class(classes()[i])))
	}
	return out, nil
}

// goBack returns the sequence that lies about bytes, but no more than goBackEntries, before next. What is no longer there
// ends the way back.
func goBack(log *spool.Log, next uint64, bytes int64) uint64 {
	first, _, _ := log.Bounds()
	for least := max(first, next-min(goBackEntries, next)); next > least && bytes > 0; next-- {
		e, err := log.ReadHead(next-1, 0)
		if err != nil {
			break
		}
		bytes -= e.Bytes
	}
	return next
}

// sending is one session of a sending end.
type sending struct {
	*send.Sender
	sources []*source
	testing atomic.Int32 // who is in Test
}
