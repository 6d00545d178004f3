package hostile_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/gateway/relay"
	"github.com/sluice-gateway/sluice/test/hostile"
)

// witness stands for the machine's sockets: it opens none, and counts who would have.
type witness struct{ asked atomic.Int64 }

var errWitness = errors.New("this is a test")

func (w *witness) ListenTCP(context.Context, uint16, func(*net.TCPConn, string)) (io.Closer, error) {
	w.asked.Add(1)
	return nil, errWitness
}

func (w *witness) ListenUDP(context.Context, uint16, int, func(context.Context, *guard.PacketSocket)) (io.Closer, error) {
	w.asked.Add(1)
	return nil, errWitness
}

func (w *witness) DialTCP(context.Context, netip.AddrPort) (*net.TCPConn, error) {
	w.asked.Add(1)
	return nil, errWitness
}

func (w *witness) DialUDP(context.Context, netip.AddrPort) (*net.UDPConn, error) {
	w.asked.Add(1)
	return nil, errWitness
}

// TestBeyondTheBlock: what the block does not allow reaches no socket, is counted, and is logged. The control is a block
// that allows one of the targets.
func TestBeyondTheBlock(t *testing.T) {
	s := newSite(t, pluginhost.Sandbox{})
	for _, c := range []struct {
		name   string
		grants relay.Grants
		asks   int64 // of the machine
	}{
		{"a block that allows nothing", relay.Grants{}, 0},
		{"a block with a port for tcp and another target", relay.Grants{Network: "tcp", Port: 6514, Connect: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.66:503")}}, 1},
		{"the control: a block that allows one target", relay.Grants{Connect: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.66:502")}}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, log := &witness{}, &logBuffer{}
			r := relay.New(c.grants, w, slog.New(slog.NewTextHandler(log, nil)))
			i, out := s.attack(t, hostile.Orders(s.place, hostile.LoadBeyond))
			served := make(chan error, 1)
			go func() {
				_, err := r.Serve(t.Context(), i.Control())
				served <- err
			}()
			await(t, "its announcement", out.said)
			if o := await(t, "its outcome", out.said); o.Errno != unix.EPERM {
				t.Errorf("outcome: %s %s", o, o.Text)
			}
			stop(t, i)
			_ = await(t, "the end of the relay's session", served) // that it ends is what counts
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if n := w.asked.Load(); n != c.asks {
				t.Errorf("%d sockets were asked for, must be %d", n, c.asks)
			}
			var refused uint64
			for _, n := range r.Stats().Refused {
				refused += n
			}
			if want := uint64(2*len(hostile.Targets())+2) - uint64(c.asks); refused != want {
				t.Errorf("%d requests are counted as refused, must be %d: %v", refused, want, r.Stats().Refused)
			}
			if !strings.Contains(log.String(), "level=WARN") && !strings.Contains(log.String(), "level=ERROR") {
				t.Errorf("nobody is told: %s", log)
			}
		})
	}
	s.checkSteady(t)
}

// TestGarbageOnControl: a plugin that sends nonsense over the control socket loses it, and the core nothing.
func TestGarbageOnControl(t *testing.T) {
	s := newSite(t, pluginhost.Sandbox{})
	r := relay.New(relay.Grants{}, &witness{}, slog.New(slog.DiscardHandler))
	i, _ := s.attack(t, hostile.Orders(s.place, hostile.LoadGarbage))
	_, err := r.Serve(t.Context(), i.Control())
	if err == nil {
		t.Error("the session goes on")
	}
	t.Log(err)
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	s.checkSteady(t)
	stop(t, i)
}
