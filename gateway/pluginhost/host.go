package pluginhost

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Config is what a Host needs.
type Config struct {
	// Dirs are searched in order for sluice-<kind>-<name>.
	Dirs []string
	// RuntimeDir holds the plugins' sockets. It is made with mode 0700, belongs to one Host at a time and may have at
	// most 69 bytes, because a unix socket's path has at most 107.
	RuntimeDir string
	// Shim is the command line that runs this program's Shim: {"/proc/self/exe", "plugin-exec"}.
	Shim []string
	// Sandbox says how plugins are confined.
	Sandbox Sandbox
	// Unconfined starts plugins with nothing around them but a process group, not even the shim: what confinement costs
	// is measured against that. The product never sets it; a test forbids that any other room of it names it.
	Unconfined bool
	Log        *slog.Logger
}

// Host starts plugins. Its methods may be called concurrently.
type Host struct {
	cfg     Config
	times   timing
	lock    *os.File    // held on RuntimeDir
	starts  chan func() // run on the one thread that starts processes
	images  images
	grounds grounds
	wg      sync.WaitGroup

	mu      sync.Mutex // guards what follows
	closed  bool
	running map[*process]struct{}
	known   map[fileID]described
}

// New prepares the runtime directory and the thread that starts plugins. Close gives both back.
func New(cfg Config) (*Host, error) {
	if len(cfg.Shim) == 0 || cfg.Log == nil {
		return nil, errors.New("pluginhost: shim and log must be set")
	}
	dir, err := filepath.Abs(cfg.RuntimeDir)
	if err != nil || cfg.RuntimeDir == "" {
		return nil, fmt.Errorf("pluginhost: runtime directory %q: %w", cfg.RuntimeDir, errors.Join(err, os.ErrInvalid))
	}
	cfg.RuntimeDir = dir
	lock, err := prepareRuntimeDir(dir)
	if err != nil {
		return nil, err
	}
	h := &Host{
		cfg: cfg, times: defaultTiming(), lock: lock, starts: make(chan func()),
		images:  images{byPath: map[string]*image{}},
		running: map[*process]struct{}{}, known: map[fileID]described{},
	}
	h.wg.Go(h.startThread)
	return h, nil
}

// prepareRuntimeDir makes the directory, makes sure that it is ours alone and removes what an earlier Host left.
func prepareRuntimeDir(dir string) (*os.File, error) {
	if longest := maxSocketPath - socketSuffix; len(dir) > longest {
		return nil, fmt.Errorf("pluginhost: runtime directory %s has %d bytes, at most %d are possible because the path of a"+
			" unix socket has at most %d: choose a shorter state directory, or a shorter TMPDIR where this is a temporary one", dir, len(dir), longest, maxSocketPath)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("pluginhost: runtime directory: %w", err)
	}
	if err := checkPrivate(dir); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("pluginhost: runtime directory: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("pluginhost: runtime directory %s is used by another gateway: %w", dir, err)
	}
	if err := removeSockets(dir); err != nil {
		_ = lock.Close()
		return nil, err
	}
	return lock, nil
}

func checkPrivate(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("pluginhost: runtime directory: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("pluginhost: runtime directory %s must be a directory that belongs to user %d", dir, os.Geteuid())
	}
	if info.Mode().Perm() != 0o700 {
		if err := os.Chmod(dir, 0o700); err != nil {
			return fmt.Errorf("pluginhost: runtime directory: %w", err)
		}
	}
	return nil
}

// removeSockets deletes the directories of plugins whose core was killed.
func removeSockets(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("pluginhost: runtime directory: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "plugin-dir") {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("pluginhost: runtime directory: %w", err)
		}
	}
	return nil
}

// Close kills what still runs and waits for it. Instances that are to end in order are drained and stopped before.
func (h *Host) Close() error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		h.wg.Wait()
		return nil
	}
	h.closed = true
	running := slices.Collect(maps.Keys(h.running))
	h.mu.Unlock()
	for _, p := range running { // not under the lock: see process.launch
		p.kill("the gateway ends")
	}
	close(h.starts)
	h.wg.Wait()
	h.images.close()
	h.grounds.close()
	return h.lock.Close()
}

// spawn runs f in a goroutine that Close waits for; it says no after Close.
func (h *Host) spawn(f func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.wg.Go(f)
	return true
}

// track registers a process that is about to start; it fails after Close. The process counts in wg until untrack.
func (h *Host) track(p *process) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrClosed
	}
	h.running[p] = struct{}{}
	h.wg.Add(1)
	return nil
}

func (h *Host) untrack(p *process) {
	h.mu.Lock()
	delete(h.running, p)
	h.mu.Unlock()
	h.wg.Done()
}
