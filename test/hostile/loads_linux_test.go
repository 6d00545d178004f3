package hostile_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/internal/reserve/reservetest"
	"github.com/sluice-gateway/sluice/sdk/proto"
	"github.com/sluice-gateway/sluice/test/hostile"
)

// groups is what a row needs that not every user has.
const groups = "control group limits"

// row is one load and what must come of it.
type row struct {
	load   string
	limits pluginhost.Limits
	needs  string // layer without which the row is exempt
	// errno: what the outcome may be, when the process says what came of it; none = it works, and does no harm.
	errno []syscall.Errno
	// dies: the process ends, and its end says this.
	dies string
	// runs: the load goes on until it is stopped.
	runs bool
}

func rows() []row {
	small := pluginhost.Limits{Memory: 128 << 20, PIDs: 64}
	only := func(e ...syscall.Errno) []syscall.Errno { return e }
	// The directory of its socket is for its socket: whether what is more is not allowed or does not fit.
	full := only(unix.EACCES, unix.EPERM, unix.EROFS, unix.ENOSPC, unix.EDQUOT, unix.EFBIG)
	return []row{
		{load: hostile.LoadForks, limits: small, errno: only(unix.EPERM)},
		{load: hostile.LoadThreads, limits: small, dies: "exit status 2"}, // the runtime cannot make a thread and gives up
		{load: hostile.LoadThreads, limits: pluginhost.Limits{PIDs: 1000}},
		{load: hostile.LoadMemory, limits: small, needs: groups, dies: "signal: killed"},
		{load: hostile.LoadMemory, limits: pluginhost.Limits{Memory: 4 << 30}},
		{load: hostile.LoadProcessor, runs: true},
		{load: hostile.LoadLog, runs: true},
		{load: hostile.LoadDisk},  // its own directory is its own; the disk's bound is another test's
		{load: hostile.LoadFiles}, // likewise
		{load: hostile.LoadSocketFiles, errno: full},
		{load: hostile.LoadSocketDisk, errno: full},
		{load: hostile.LoadDeepTree, errno: only(unix.EACCES)},
		{load: hostile.LoadStop}, // the first process of a pid namespace cannot stop itself
		{load: hostile.LoadCrash, dies: "exit status 2"},
		{load: hostile.LoadExit, dies: "exit status 7"},
		{load: hostile.LoadHang, runs: true},
		{load: hostile.LoadDescriptors, errno: only(unix.EMFILE)},
		{load: hostile.LoadPass, errno: only(unix.EPERM)},
		{load: hostile.LoadInFlight, errno: only(unix.EPERM, unix.ETOOMANYREFS)},
	}
}

// TestLoads lets the hostile plugin load the machine: it is contained, another plugin of the same host goes on
// answering, and stopping it is bounded.
func TestLoads(t *testing.T) {
	for _, r := range rows() {
		name := r.load
		if r.limits.PIDs > 64 || r.limits.Memory > 1<<30 {
			name += " within limits"
		}
		t.Run(name, func(t *testing.T) { r.try(t) })
	}
}

func (r row) try(t *testing.T) {
	t.Helper()
	s := newSite(t, pluginhost.Sandbox{Limits: r.limits})
	if r.needs != "" && !s.has(r.needs) {
		t.Skipf("exempt: user %d has no %s here", os.Geteuid(), r.needs)
	}
	i, out := s.attack(t, hostile.Orders(s.place, r.load))
	await(t, "its announcement", out.said)
	switch {
	case r.runs:
		s.checkSteady(t)
	case r.dies != "":
		await(t, "its end", i.Done())
		if err := i.Err(); !strings.Contains(err.Error(), r.dies) {
			t.Errorf("%v, must say %q", err, r.dies)
		}
	default:
		o := await(t, "its outcome", out.said)
		t.Logf("outcome: %s %s", o, o.Text)
		if worked := o.Errno == 0; worked && len(r.errno) > 0 || !worked && !slices.Contains(r.errno, o.Errno) {
			t.Errorf("outcome: %s (%s), must be one of %v", o, o.Text, r.errno)
		}
	}
	s.checkSteady(t)
	s.checkPassing(t)
	if err := drain(t, i); err != nil {
		t.Logf("drain: %v", err)
	}
	stop(t, i)
	s.checkSteady(t)
	const most = 4 << 20 // bytes: two hundred lines at once and twenty a second, of 8 KiB at most
	if n := len(s.log.String()); n > most {
		t.Errorf("%d bytes of log", n)
	}
	if s.steady.Err() != nil {
		t.Errorf("the other plugin: %v", s.steady.Err())
	}
}

// has tells whether a layer is there.
func (s *site) has(layer string) bool {
	for _, l := range s.Layers() {
		if l.Name == layer {
			return l.OK
		}
	}
	return false
}

// checkPassing passes a descriptor to the steady plugin, as the core does for every connection.
func (s *site) checkPassing(t *testing.T) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // not read
	defer w.Close() //nolint:errcheck // not written
	m := &proto.Control{Kind: &proto.Control_Connection{Connection: &proto.Connection{Remote: "192.0.2.1:1"}}}
	if err := s.steady.Control().Send(m, r, deadline); err != nil {
		t.Errorf("a connection for the other plugin: %v", err)
	}
}

// drain asks the plugin to end, for a moment.
func drain(t *testing.T, i *pluginhost.Instance) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	return i.Plugin().Drain(ctx)
}

// await takes one value.
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

// TestFullDisk: a plugin that fills its disk has no more of it, and the others go on.
func TestFullDisk(t *testing.T) {
	reservetest.OnSmallDisk(t, 4<<20, func(t *testing.T, dir string) {
		t.Helper()
		for _, load := range []string{hostile.LoadDisk, hostile.LoadFiles} {
			s := newSite(t, pluginhost.Sandbox{})
			s.place.Granted = filepath.Join(dir, load)
			i, out := s.attack(t, hostile.Orders(s.place, load))
			await(t, "its announcement", out.said)
			o := await(t, "its outcome", out.said)
			t.Logf("%s: %s %s", load, o, o.Text)
			if load == hostile.LoadDisk && o.Errno != unix.ENOSPC {
				t.Errorf("%s: %s (%s), must be ENOSPC", load, o, o.Text)
			}
			s.checkSteady(t)
			stop(t, i)
			if err := os.RemoveAll(s.place.Granted); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestStopped: a plugin that is stopped from outside, so that it cannot answer anything, is gone in time.
func TestStopped(t *testing.T) {
	s := newSite(t, pluginhost.Sandbox{})
	i, _ := s.attack(t, hostile.Orders(s.place, hostile.LoadHang))
	if err := unix.Kill(i.PID(), unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s.checkSteady(t)
	stop(t, i)
	s.checkSteady(t)
}
