package relay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/gateway/relay"
	"github.com/sluice-gateway/sluice/sdk"
)

// echo is a receiver that answers on TCP what it is sent, makes a record of each datagram and sends a copy of it to its
// target.
type echo struct {
	setup   sdk.Setup
	once    sync.Once
	drained chan struct{}
}

func (e *echo) Describe(context.Context) (sdk.Info, error) {
	return sdk.Info{Kind: sdk.KindReceiver, Name: "echo", Version: "1"}, nil
}

func (e *echo) Validate(context.Context, json.RawMessage) (sdk.Traits, []sdk.Problem, error) {
	return sdk.Traits{}, nil, nil
}

func (e *echo) Configure(_ context.Context, s sdk.Setup) error {
	e.setup = s
	return nil
}

func (e *echo) Drain(context.Context) error {
	e.once.Do(func() { close(e.drained) })
	return nil
}

func (e *echo) Run(ctx context.Context, n sdk.Network, out sdk.Intake) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if string(e.setup.Config) == `"tcp"` {
		l, err := n.Listener(ctx)
		if err != nil {
			return err
		}
		go answer(l)
	} else if err := e.packets(ctx, n, out); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-e.drained:
	}
	return nil
}

func answer(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			_, _ = fmt.Fprintln(c, sdk.ConnectionOf(c).Remote)
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}()
	}
}

func (e *echo) packets(ctx context.Context, n sdk.Network, out sdk.Intake) error {
	_, beyond := n.Dial(ctx, "192.0.2.1:502")
	if sdk.CodeOf(beyond) != sdk.CodeRefused {
		return fmt.Errorf("beyond the grants: %w", beyond)
	}
	to, err := n.DialPacket(ctx, e.setup.Connect[0])
	if err != nil {
		return err
	}
	w, err := sdk.NewWriter(out, e.setup, sdk.WriterOptions{Linger: -1})
	if err != nil {
		return err
	}
	go func() { _ = w.Run(ctx) }()
	in, err := n.Packets(ctx)
	if err != nil {
		return err
	}
	go func() {
		for {
			grams, err := in.ReadBatch(ctx)
			if err != nil {
				return
			}
			for _, g := range grams {
				rec := []sdk.Record{{Kind: sdk.KindOpaque, Received: g.Received, Payload: g.Payload}}
				_, _ = w.Write(ctx, sdk.Connection{Remote: g.Remote, Interface: g.Interface}, rec)
				_, _ = to.Send(ctx, [][]byte{g.Payload})
			}
		}
	}()
	return nil
}

// records is an intake that counts.
type records struct {
	mu sync.Mutex
	n  uint64
}

func (r *records) Deliver(_ context.Context, _ sdk.Class, batch []byte, decided func(error)) error {
	h, _, err := sdk.ParseHeader(batch)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.n += uint64(h.Count)
	r.mu.Unlock()
	decided(nil)
	return nil
}

func (r *records) count() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

// live is a real plugin process behind a relay.
type live struct {
	*pluginhost.Instance
	ran    chan error
	served chan served
	stop   context.CancelFunc
}

func (r *rig) run(t *testing.T, h *pluginhost.Host, s sdk.Setup, out sdk.Intake) *live {
	t.Helper()
	i, err := h.Start(t.Context(), sdk.KindReceiver, "echo", "echo.test")
	if err != nil {
		t.Fatal(err)
	}
	p, ok := i.Plugin().(sdk.Receiver)
	if !ok {
		t.Fatal("no receiver")
	}
	s.Name = "echo.test"
	if err := p.Configure(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	l := &live{Instance: i, ran: make(chan error, 1), served: make(chan served, 1), stop: stop}
	go func() {
		h, err := r.Serve(ctx, i.Control())
		l.served <- served{h, err}
	}()
	go func() { l.ran <- p.Run(ctx, nil, out) }()
	t.Cleanup(func() { stop(); _ = i.Stop(ctx) })
	return l
}

func newHost(t *testing.T) *pluginhost.Host {
	t.Helper()
	dir, err := os.MkdirTemp("", "slrl") //nolint:usetesting // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "sluice-receiver-echo")); err != nil {
		t.Fatal(err)
	}
	h, err := pluginhost.New(pluginhost.Config{
		Dirs: []string{dir}, RuntimeDir: filepath.Join(dir, "run"), Shim: []string{"/proc/self/exe", "plugin-exec"},
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func TestRealPluginTCP(t *testing.T) {
	h := newHost(t)
	r := newRig(t, relay.Grants{Network: "tcp"})
	l := r.run(t, h, sdk.Setup{Config: []byte(`"tcp"`)}, &records{})
	to := await(t, "listener", r.sockets.tcp)
	check := func() {
		c := dial(t, to)
		data := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
		go func() { _, _ = c.Write(data); _ = c.CloseWrite() }()
		got, err := io.ReadAll(c)
		if want := c.LocalAddr().String() + "\n"; err != nil || !strings.HasPrefix(string(got), want) || !bytes.Equal(got[len(want):], data) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
	check()
	// The endpoint of a killed plugin is told, and the next instance serves the same port.
	c := dial(t, to)
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(l.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("endpoint: %v", err)
	}
	if s := await(t, "serve", l.served); s.Connections != 2 || s.err == nil {
		t.Errorf("%+v", s)
	}
	_ = await(t, "run", l.ran) // how a killed plugin's Run ends is not this test's matter
	r.run(t, h, sdk.Setup{Config: []byte(`"tcp"`)}, &records{})
	check()
}

// TestRealPluginUDP kills the plugin in the middle: what it was handed and did not deliver is known to the last datagram.
func TestRealPluginUDP(t *testing.T) {
	far, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close() //nolint:errcheck // a test's
	target := addrOf(far.LocalAddr())
	h := newHost(t)
	r := newRig(t, relay.Grants{Network: "udp", Connect: []netip.AddrPort{target}})
	setup := sdk.Setup{Config: []byte(`"udp"`), Connect: []string{target.String()}}
	in := &records{}
	l := r.run(t, h, setup, in)
	c := sendFrom(t, await(t, "socket", r.sockets.udp))
	const n = 3000
	for i := range n {
		write(t, c, fmt.Sprintf("datagram %d", i))
		if i == n/2 {
			waitFor(t, "some records", func() bool { return in.count() > 0 })
			if err := syscall.Kill(l.PID(), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := await(t, "serve", l.served)
	_ = await(t, "run", l.ran)
	first := in.count()
	if first > s.Datagrams {
		t.Errorf("%d records of %d datagrams", first, s.Datagrams)
	}
	r.run(t, h, setup, in)
	waitFor(t, "the rest", func() bool { return in.count() == n-(s.Datagrams-first) })
	// There may be no rest: the instance that was killed had been handed everything.
	waitFor(t, "the second instance", func() bool { return r.Stats().Refused["dial tcp 192.0.2.1:502"] == 2 })
	if got := r.Stats(); got.Datagrams != n || got.KernelDrops != 0 {
		t.Errorf("%+v", got)
	}
	buf := make([]byte, 100)
	if size, err := far.Read(buf); err != nil || string(buf[:size]) != "datagram 0" {
		t.Errorf("target got %q, %v", buf[:size], err)
	}
}
