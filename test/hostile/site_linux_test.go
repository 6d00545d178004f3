package hostile_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/test/hostile"
)

const (
	deadline = 60 * time.Second // for what takes milliseconds on a quiet machine
	// stopLimit is what Host promises of Stop, and what a busy machine adds to the moment at which that is measured.
	stopLimit = 2*time.Second + time.Second
	attacker  = "hostile"
)

// site is a host with a steady plugin and all that there is to attack.
type site struct {
	*pluginhost.Host
	place  hostile.Place
	log    *logBuffer
	steady *pluginhost.Instance
	heard  *counter // records of the steady plugin
}

// logBuffer keeps what was logged.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newSite starts a host with the steady plugin running.
func newSite(t *testing.T, box pluginhost.Sandbox) *site {
	t.Helper()
	base := newBase(t)
	s := &site{place: furnish(t, base), log: &logBuffer{}, heard: &counter{}}
	install(t, filepath.Join(base, "plugins"), "receiver-"+hostile.SteadyName, "receiver-"+attacker, "sink-"+sinkFile,
		"receiver-"+hostile.RawHuge, "receiver-"+hostile.RawUnread, "receiver-"+hostile.RawBeyond, "receiver-"+hostile.RawWords)
	h, err := pluginhost.New(pluginhost.Config{
		Dirs: []string{filepath.Join(base, "plugins")}, RuntimeDir: s.place.Runtime, Shim: []string{"/proc/self/exe", "plugin-exec"},
		Log: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Sandbox: box,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Host = h
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log of the host:\n%.20000s", s.log)
		}
	})
	s.steady = s.start(t, hostile.SteadyName)
	s.run(t, s.steady, nil, s.heard)
	s.place.Core, s.place.Other = os.Getpid(), s.steady.PID()
	s.checkSteady(t)
	return s
}

// newBase is a directory whose path fits a socket's, and which does not hide by its permissions what the sandbox has to
// hide.
func newBase(t *testing.T) string {
	t.Helper()
	base, err := os.MkdirTemp("", "slho") //nolint:usetesting // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	return base
}

// furnish makes what the attacks are after. All of it is open to any user: what keeps a plugin from it is the sandbox.
func furnish(t *testing.T, base string) hostile.Place {
	t.Helper()
	p := hostile.Place{
		Granted: filepath.Join(base, "granted"), Beside: filepath.Join(base, "beside"), Runtime: filepath.Join(base, "run"),
		Readable: filepath.Join(base, "readable", "ca.pem"), Secret: filepath.Join(base, "state", "link.key"),
		Console: filepath.Join(base, "console.sock"), Mailbox: filepath.Join(base, "mailbox.sock"),
		Abstract: fmt.Sprintf("sluice-hostile-%d-%s", os.Getpid(), filepath.Base(base)),
	}
	for _, dir := range []string{p.Granted, p.Beside, filepath.Dir(p.Readable), filepath.Dir(p.Secret), filepath.Join(base, "plugins")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(p.Beside, 0o777); err != nil {
		t.Fatal(err)
	}
	write(t, p.Readable)
	write(t, p.Secret)
	serveStream(t, p.Console)
	serveDatagrams(t, p.Mailbox)
	serveDatagrams(t, "@"+p.Abstract)
	return p
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("not for plugins\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// serveStream accepts and closes until the test ends.
func serveStream(t *testing.T, path string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
}

// serveDatagrams reads until the test ends.
func serveDatagrams(t *testing.T, name string) {
	t.Helper()
	c, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "unixgram", name)
	if err != nil {
		t.Fatal(err)
	}
	if name[0] == '/' {
		if err := os.Chmod(name, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			if _, _, err := c.ReadFrom(make([]byte, 64)); err != nil {
				return
			}
		}
	})
	t.Cleanup(func() { _ = c.Close(); wg.Wait() })
}

// install copies this test binary, which an ordinary user may not reach where it lies, as plugins of each kind and name.
func install(t *testing.T, dir string, names ...string) {
	t.Helper()
	src, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close() //nolint:errcheck // only read
	first := filepath.Join(dir, "sluice-"+names[0])
	dst, err := os.OpenFile(first, os.O_WRONLY|os.O_CREATE, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(dst, src); err != nil {
		t.Fatal(err)
	}
	if err := dst.Close(); err != nil {
		t.Fatal(err)
	}
	for _, n := range names[1:] {
		if err := os.Link(first, filepath.Join(dir, "sluice-"+n)); err != nil {
			t.Fatal(err)
		}
	}
}

// start starts a plugin, with what it may use of the disk.
func (s *site) start(t *testing.T, name string, grants ...pluginhost.Grant) *pluginhost.Instance {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	i, err := s.Start(ctx, sdk.KindReceiver, name, "test."+name, grants...)
	if err != nil {
		t.Fatalf("start %s: %v\n%s", name, err, s.log)
	}
	t.Cleanup(func() { _ = i.Stop(context.WithoutCancel(t.Context())) })
	return i
}

// attack starts the hostile plugin with orders and returns it with its outcomes.
func (s *site) attack(t *testing.T, orders json.RawMessage) (*pluginhost.Instance, *outcomes) {
	t.Helper()
	i := s.start(t, attacker, pluginhost.Grant{Path: s.place.Granted, Write: true}, pluginhost.Grant{Path: s.place.Readable})
	o := newOutcomes()
	s.run(t, i, orders, o)
	return i, o
}

// run configures and runs an instance until the test ends or the instance does.
func (s *site) run(t *testing.T, i *pluginhost.Instance, body json.RawMessage, out sdk.Intake) {
	t.Helper()
	r, ok := i.Plugin().(sdk.Receiver)
	if !ok {
		t.Fatalf("%T is no receiver", i.Plugin())
	}
	if body == nil {
		body = json.RawMessage(`{}`)
	}
	if err := r.Configure(t.Context(), sdk.Setup{Name: "hostile.test", Config: body}); err != nil {
		t.Fatalf("configure: %v\n%s", err, s.log)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() { _ = r.Run(ctx, nil, out) })
	t.Cleanup(func() {
		cancel()
		_ = i.Stop(ctx)
		wg.Wait()
	})
}

// checkSteady waits until the other plugin answers and has delivered more than it had.
func (s *site) checkSteady(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	if _, err := s.steady.Plugin().Describe(ctx); err != nil {
		t.Errorf("the other plugin does not answer: %v", err)
	}
	if err := s.heard.more(ctx, 3); err != nil {
		t.Errorf("the other plugin delivers nothing: %v", err)
	}
}

// stop stops an instance and holds the time that takes against what the host promises.
func stop(t *testing.T, i *pluginhost.Instance) {
	t.Helper()
	began := time.Now()
	err := i.Stop(context.WithoutCancel(t.Context()))
	if took := time.Since(began); err != nil || took > stopLimit {
		t.Errorf("stop took %s: %v", took, err)
	}
	select {
	case <-i.Done():
	case <-time.After(deadline):
		t.Errorf("process %d lives on", i.PID())
	}
}

// counter counts deliveries.
type counter struct {
	n    atomic.Int64
	once sync.Once
	ping chan struct{}
}

func (c *counter) init() { c.once.Do(func() { c.ping = make(chan struct{}, 1) }) }

func (c *counter) Deliver(_ context.Context, _ sdk.Class, _ []byte, decided func(error)) error {
	c.init()
	c.n.Add(1)
	select {
	case c.ping <- struct{}{}:
	default:
	}
	decided(nil)
	return nil
}

// more waits for n further deliveries.
func (c *counter) more(ctx context.Context, n int64) error {
	c.init()
	for want := c.n.Load() + n; c.n.Load() < want; {
		select {
		case <-c.ping:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// outcomes hands over what the hostile plugin says.
type outcomes struct{ said chan hostile.Outcome }

// mostOutcomes is more than there are attacks.
const mostOutcomes = 1000

func newOutcomes() *outcomes { return &outcomes{said: make(chan hostile.Outcome, mostOutcomes)} }

func (o *outcomes) Deliver(_ context.Context, _ sdk.Class, batch []byte, decided func(error)) error {
	err := o.take(bytes.Clone(batch))
	decided(err)
	return nil
}

func (o *outcomes) take(batch []byte) error {
	var d sdk.Decoder
	if _, err := d.Open(batch); err != nil {
		return err
	}
	for {
		var r sdk.Record
		ok, err := d.Next(&r)
		if err != nil || !ok {
			return err
		}
		var one hostile.Outcome
		if err := json.Unmarshal(r.Payload, &one); err != nil {
			return err
		}
		select {
		case o.said <- one:
		default:
			return fmt.Errorf("more than %d outcomes", mostOutcomes)
		}
	}
}
