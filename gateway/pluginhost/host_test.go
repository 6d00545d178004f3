package pluginhost_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/sdk"
)

const deadline = 30 * time.Second // for what takes milliseconds on a quiet machine

// site is a host with mock plugins.
type site struct {
	*pluginhost.Host
	dir string
	log *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// shortDir is a directory whose path fits a socket's.
func shortDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "slph") //nolint:usetesting // tb.TempDir is too long for a socket's path
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// install makes this test binary a plugin of each name.
func install(tb testing.TB, dir string, names ...string) {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	for _, name := range names {
		if err := os.Symlink(self, filepath.Join(dir, "sluice-receiver-"+name)); err != nil {
			tb.Fatal(err)
		}
	}
}

func newSite(tb testing.TB, names ...string) *site {
	tb.Helper()
	return newConfinedSite(tb, pluginhost.Sandbox{}, names...)
}

func newConfinedSite(tb testing.TB, sandbox pluginhost.Sandbox, names ...string) *site {
	tb.Helper()
	s := &site{dir: tb.TempDir(), log: &lockedBuffer{}}
	install(tb, s.dir, names...)
	h, err := pluginhost.New(pluginhost.Config{
		Dirs: []string{s.dir}, RuntimeDir: filepath.Join(shortDir(tb), "run"), Shim: []string{"/proc/self/exe", "plugin-exec"},
		Sandbox: sandbox,
		Log:     slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		tb.Fatal(err)
	}
	s.Host = h
	tb.Cleanup(func() {
		if err := h.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func (s *site) start(t *testing.T, name string, grants ...pluginhost.Grant) *pluginhost.Instance {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	i, err := s.Start(ctx, sdk.KindReceiver, name, "mock."+name, grants...)
	if err != nil {
		t.Fatalf("start %s: %v\n%s", name, err, s.log)
	}
	t.Cleanup(func() { _ = i.Stop(context.WithoutCancel(t.Context())) })
	return i
}

// intake hands over the first batch that it is given.
type intake struct{ first chan []byte }

func newIntake() *intake { return &intake{first: make(chan []byte, 1)} }

func (i *intake) Deliver(_ context.Context, _ sdk.Class, batch []byte, decided func(error)) error {
	select {
	case i.first <- bytes.Clone(batch):
	default:
	}
	decided(nil)
	return nil
}

func (i *intake) record(t *testing.T) []byte {
	t.Helper()
	select {
	case raw := <-i.first:
		var d sdk.Decoder
		if _, err := d.Open(raw); err != nil {
			t.Fatal(err)
		}
		var r sdk.Record
		if ok, err := d.Next(&r); !ok || err != nil {
			t.Fatalf("no record: %v", err)
		}
		return r.Payload
	case <-time.After(deadline):
		t.Fatal("no batch")
		return nil
	}
}

// run configures and runs an instance; the channel yields Run's error.
func run(t *testing.T, i *pluginhost.Instance, out sdk.Intake) <-chan error {
	t.Helper()
	return runWith(t, i, `{}`, out)
}

func runWith(t *testing.T, i *pluginhost.Instance, config string, out sdk.Intake) <-chan error {
	t.Helper()
	r, ok := i.Plugin().(sdk.Receiver)
	if !ok {
		t.Fatalf("%T is no receiver", i.Plugin())
	}
	if err := r.Configure(t.Context(), sdk.Setup{Name: "mock.test", Config: json.RawMessage(config)}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- r.Run(context.WithoutCancel(t.Context()), nil, out) }()
	return ended
}

func await[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(deadline):
		t.Fatalf("%s: not within %s", what, deadline)
		panic("unreachable")
	}
}

func TestPluginSeesOnlyWhatItNeeds(t *testing.T) {
	t.Setenv("SLUICE_TEST_SECRET", "of the core")
	s := newSite(t, "ok")
	i := s.start(t, "ok")
	in := newIntake()
	ended := run(t, i, in)
	var world struct {
		Env, Args []string
		Dir       string
	}
	if err := json.Unmarshal(in.record(t), &world); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(world.Env, "\n"); strings.Contains(got, "SLUICE_TEST_SECRET") || strings.Contains(got, "PATH=") {
		t.Errorf("environment: %s", got)
	}
	if world.Dir != "/" || world.Args[0] != "sluice-receiver-ok" {
		t.Errorf("directory %q, arguments %q", world.Dir, world.Args)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", i.PID()))
	if err != nil || !strings.Contains(string(status), "\nNoNewPrivs:\t1\n") || !strings.Contains(string(status), "\nUmask:\t0077\n") {
		t.Errorf("%v, status: %s", err, status)
	}
	checkDescriptors(t, i.PID())
	if i.Version() != "1.2.3" || i.SHA256() != hashOfSelf(t) {
		t.Errorf("version %q, sha256 %s", i.Version(), i.SHA256())
	}
	if err := i.Plugin().Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if err := await(t, "run", ended); err != nil {
		t.Errorf("run: %v", err)
	}
	if err := i.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	await(t, "done", i.Done())
	if !errors.Is(i.Err(), pluginhost.ErrPluginGone) {
		t.Errorf("err: %v", i.Err())
	}
}

// checkDescriptors allows sockets, pipes and what the Go runtime opens, but no file and no sealed image.
func checkDescriptors(t *testing.T, pid int) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	fds, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		target, _ := os.Readlink(filepath.Join(dir, fd.Name()))
		runtimes := target == "/dev/null" || strings.HasPrefix(target, "/proc/") || strings.HasPrefix(target, "/sys/fs/cgroup/")
		if (strings.HasPrefix(target, "/") && !runtimes) || strings.Contains(target, "memfd") {
			t.Errorf("descriptor %s", fd)
		}
	}
}

func hashOfSelf(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestRuntimeDir(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	shim := []string{"/proc/self/exe", "plugin-exec"}
	t.Run("too long", func(t *testing.T) {
		_, err := pluginhost.New(pluginhost.Config{RuntimeDir: "/run/" + strings.Repeat("x", 80), Shim: shim, Log: log})
		if err == nil || !strings.Contains(err.Error(), "at most 69 are possible") {
			t.Errorf("err: %v", err)
		}
	})
	t.Run("used twice", func(t *testing.T) {
		cfg := pluginhost.Config{RuntimeDir: shortDir(t), Shim: shim, Log: log}
		left := filepath.Join(cfg.RuntimeDir, "plugin-dir1", "plugin2")
		if err := os.MkdirAll(left, 0o700); err != nil {
			t.Fatal(err)
		}
		h, err := pluginhost.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("left over socket directory: %v", err)
		}
		if _, err := pluginhost.New(cfg); err == nil || !strings.Contains(err.Error(), "used by another gateway") {
			t.Errorf("second: %v", err)
		}
		if err := errors.Join(h.Close(), h.Close()); err != nil {
			t.Error(err)
		}
		if _, err := h.Start(t.Context(), sdk.KindReceiver, "ok", "x"); err == nil {
			t.Error("start after close")
		}
	})
}
