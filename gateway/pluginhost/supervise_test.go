package pluginhost_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/sdk"
)

// quick is a timing that lets a test see many restarts.
func quick() pluginhost.Timing {
	return pluginhost.Timing{
		HealthEvery: 20 * time.Millisecond, HealthDeadline: deadline, Drain: 300 * time.Millisecond,
		First: time.Millisecond, Most: 4 * time.Millisecond, Healthy: time.Hour,
		Limit: 5, Window: time.Hour, Rest: time.Hour,
	}
}

// watched is a supervised component and the states it went through.
type watched struct {
	mu     sync.Mutex
	states []pluginhost.State
	cancel context.CancelFunc
	done   chan error
}

func supervise(t *testing.T, s *site, name string) *watched {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watched{cancel: cancel, done: make(chan error, 1)}
	go func() {
		w.done <- s.Supervise(ctx, pluginhost.Component{
			Kind: sdk.KindReceiver, Name: name, Label: "mock." + name, Run: runMock, State: w.add,
		})
	}()
	t.Cleanup(func() { w.stop(t) })
	return w
}

// runMock is what a gateway does with an instance: configure, run, drain when told to end.
func runMock(ctx context.Context, i *pluginhost.Instance) error {
	r, ok := i.Plugin().(sdk.Receiver)
	if !ok {
		return sdk.Problem{Text: "no receiver"}
	}
	if err := r.Configure(ctx, sdk.Setup{Name: "mock.test"}); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() {
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), 100*time.Millisecond)
		defer cancel()
		_ = r.Drain(patience)
	})
	defer stop()
	return r.Run(context.WithoutCancel(ctx), nil, newIntake())
}

func (w *watched) add(st pluginhost.State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.states = append(w.states, st)
}

func (w *watched) all() []pluginhost.State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.states)
}

func (w *watched) last() pluginhost.State {
	all := w.all()
	if len(all) == 0 {
		return pluginhost.State{}
	}
	return all[len(all)-1]
}

func (w *watched) stop(t *testing.T) {
	t.Helper()
	w.cancel()
	if err, ok := <-w.done; ok {
		close(w.done)
		if err != nil {
			t.Errorf("supervise: %v", err)
		}
	}
}

func TestSuperviseRestarts(t *testing.T) {
	s := newSite(t, "ok")
	pluginhost.SetTiming(s.Host, quick())
	w := supervise(t, s, "ok")
	waitFor(t, "running", func() bool { return w.last().Status == pluginhost.StatusRunning })
	first := w.last()
	if want := "no_new_privs"; !slices.Contains(first.Confinement, want) {
		t.Errorf("confinement %v lacks %s", first.Confinement, want)
	}
	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "running again", func() bool {
		st := w.last()
		return st.Status == pluginhost.StatusRunning && st.PID != first.PID
	})
	st := w.last()
	if st.Restarts != 1 || st.LastError != "mock.ok: plugin has ended: signal: killed" || st.SHA256 != first.SHA256 {
		t.Errorf("state: %+v", st)
	}
	w.stop(t)
	if st := w.last(); st.Status != pluginhost.StatusStopped || st.PID != 0 {
		t.Errorf("state: %+v", st)
	}
}

// TestSuperviseGivesUp: a component that always fails becomes failed, while the one beside it keeps running.
func TestSuperviseGivesUp(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"panic-run", "panic: mock: run"},
		{"refuses-config", "config: tls: I do not like it"},
		{"returns", "ended without being asked to"},
		{"exit0", "it is no plugin"},
		{"missing", "is not installed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, "ok")
			if c.name != "missing" {
				install(t, s.dir, c.name)
			}
			pluginhost.SetTiming(s.Host, quick())
			other := supervise(t, s, "ok")
			w := supervise(t, s, c.name)
			waitFor(t, "failed", func() bool { return w.last().Status == pluginhost.StatusFailed })
			st := w.last()
			if st.Restarts != 4 || !strings.Contains(st.LastError, c.want) || time.Until(st.NextTry) < 30*time.Minute {
				t.Errorf("state: %+v", st)
			}
			waitFor(t, "the other", func() bool { return other.last().Status == pluginhost.StatusRunning })
			if other.last().Restarts != 0 {
				t.Errorf("the other: %+v", other.last())
			}
		})
	}
}

func TestSuperviseKillsWhatDoesNotAnswer(t *testing.T) {
	s := newSite(t, "ok")
	times := quick()
	times.HealthDeadline = 200 * time.Millisecond
	pluginhost.SetTiming(s.Host, times)
	w := supervise(t, s, "ok")
	waitFor(t, "running", func() bool { return w.last().Status == pluginhost.StatusRunning })
	first := w.last().PID
	if err := syscall.Kill(first, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "running again", func() bool {
		st := w.last()
		return st.Status == pluginhost.StatusRunning && st.PID != first
	})
	if got := w.last().LastError; !strings.Contains(got, "it did not answer 3 health calls") {
		t.Errorf("error: %s", got)
	}
}

// TestSuperviseEndsWithHungPlugins: neither a hung Run nor a hung Drain keeps the gateway from ending.
func TestSuperviseEndsWithHungPlugins(t *testing.T) {
	for _, name := range []string{"hang-run", "hang-drain"} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, name)
			pluginhost.SetTiming(s.Host, quick())
			w := supervise(t, s, name)
			waitFor(t, "running", func() bool { return w.last().Status == pluginhost.StatusRunning })
			w.cancel()
			if err := await(t, "supervise", w.done); err != nil {
				t.Error(err)
			}
			close(w.done)
		})
	}
}

// TestPluginDiesWithHost kills a host with SIGKILL, running and while its plugin is stopped.
func TestPluginDiesWithHost(t *testing.T) {
	for _, stopped := range []bool{false, true} {
		dir := t.TempDir()
		install(t, dir, "ok")
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env = append(os.Environ(), "SLUICE_TEST_HOST="+filepath.Join(shortDir(t), "run"),
			"SLUICE_TEST_PLUGINS="+dir, "SLUICE_TEST_NAME=ok")
		if _, err := cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(line)
		}
		if stopped {
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // "signal: killed"
		waitFor(t, "the plugin's end", func() bool { return !runs(pid) })
	}
}

// runs tells whether a process exists and is no zombie that nobody has reaped yet.
func runs(pid int) bool {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(status), ") ")
	return !strings.HasPrefix(rest, "Z")
}
