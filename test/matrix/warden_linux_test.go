package matrix_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/warden"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// verb plays the program that a warden is part of, when this process was
// started as one.
func verb() (code int, is bool) {
	if len(os.Args) < 2 {
		return 0, false
	}
	switch os.Args[1] {
	case warden.Verb:
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		return warden.Main(ctx, os.Args[2:], os.Stderr), true
	case warden.KeeperVerb:
		return warden.Keep(os.Args[2:]), true
	case coreVerb:
		return coreMain(os.Args[2]), true
	}
	return 0, false
}

// watched is the whole defence: a warden in a process of its own, in the
// namespace that it guards.
type watched struct {
	*testing.T
	in     *netlab.Namespace
	dir    string
	cmd    *exec.Cmd // nil while it does not run
	client *warden.Client
	leave  func() // ends the client
}

// guarding starts a warden, orders the policy, and waits until it says that
// everything stands.
func guarding(t *testing.T, in *netlab.Namespace, p guard.Policy) *watched {
	t.Helper()
	w := &watched{T: t, in: in, dir: short(t)}
	t.Cleanup(w.end)
	t.Cleanup(func() {
		if t.Failed() {
			w.Log(w.logged())
		}
	})
	w.start()
	w.connect()
	if err := w.client.Order(t.Context(), p); err != nil {
		t.Fatalf("order: %v\n%s", err, w.logged())
	}
	w.awaitWhole()
	return w
}

// start starts the process.
func (w *watched) start() {
	w.Helper()
	program, err := os.Executable()
	if err != nil {
		w.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(w.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	// Its life is not the test's: it must outlive what a test kills.
	w.cmd = w.in.Command(context.Background(), program, warden.Verb, "--socket", w.socket(), "--state", filepath.Join(w.dir, "state"), "--node", "matrix")
	w.cmd.Stderr = log
	if err := w.cmd.Start(); err != nil {
		w.Fatal(err)
	}
}

func (w *watched) socket() string { return filepath.Join(w.dir, "s") }

func (w *watched) logged() string {
	text, _ := os.ReadFile(filepath.Join(w.dir, "log"))
	return string(text)
}

// connect makes a client and keeps it running.
func (w *watched) connect() {
	w.Helper()
	until(w.T, "the warden answers", func() (ok bool) {
		c, err := warden.Dial(w.Context(), w.socket(), discard())
		if err == nil {
			w.client = c
		} else if !errors.Is(err, warden.ErrAway) {
			w.Fatal(err)
		}
		return err == nil
	})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.client.Run(ctx) }()
	w.leave = func() { stop(); <-done }
}

// awaitWhole waits until every drop stands.
func (w *watched) awaitWhole() {
	w.Helper()
	until(w.T, "everything stands", func() bool { return whole(w.client.Standing()) })
}

// whole reports whether everything that should stand does.
func whole(s guard.Standing) bool {
	holds := func(checks []guard.Check) bool {
		return len(checks) > 0 && !slices.ContainsFunc(checks, func(c guard.Check) bool { return !c.OK })
	}
	return s.Known && len(s.Trips) == 0 && len(s.Barriers) > 0 &&
		!slices.ContainsFunc(s.Barriers, func(b guard.Barrier) bool { return !holds(b.Egress) || !holds(b.Ingress) || !holds(b.Quiet) })
}

func (w *watched) tripped() (string, bool) {
	trips := w.client.Standing().Trips
	if len(trips) == 0 {
		return "", false
	}
	return trips[0].Interface + ": " + trips[0].Cause, true
}

func (w *watched) restored() []string {
	var out []string
	for _, r := range w.client.Standing().Restored {
		out = append(out, r.Interface+": "+r.What)
	}
	return out
}

// end lets the warden go; what it put there stays.
func (w *watched) end() {
	if w.leave != nil {
		w.leave()
		w.leave = nil
	}
	w.stop(syscall.SIGTERM)
}

// stop ends the process by a signal.
func (w *watched) stop(sig syscall.Signal) {
	w.Helper()
	if w.cmd == nil {
		return
	}
	_ = w.cmd.Process.Signal(sig)
	_ = w.cmd.Wait()
	w.cmd = nil
}

// warden is the whole defence of a cell.
func (c *cell) warden(p guard.Policy) defence {
	c.Helper()
	return guarding(c.T, c.node, p)
}

// explain prints what the warden found.
func (w *watched) explain() string {
	s := w.client.Standing()
	var b strings.Builder
	fmt.Fprintf(&b, "known %v %s, trips %v, restored %v, input %+v\n", s.Known, s.Reason, s.Trips, s.Restored, s.Input)
	for _, r := range s.Barriers {
		fmt.Fprintf(&b, "%+v\n", r)
	}
	return b.String()
}

// since is a duration as the log shows it.
func since(at time.Time) time.Duration { return time.Since(at).Round(time.Millisecond) }
