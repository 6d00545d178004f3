package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-gateway/sluice/test/netlab"
)

const (
	startPatience = 5 * time.Second
	stopPatience  = 3 * time.Second
	progressPoll  = 2 * time.Millisecond
	// quiet is how long the output must not have grown until what is missing counts as lost. The link names a hole at
	// most 3 s after it was sent.
	quiet = 5 * time.Second
)

// contestant is a pair of programs: one reads its standard input, the other writes its standard output.
type contestant struct {
	name          string
	send, receive []string
	port          int // UDP, on which its receiver listens
	input         *payload
	size          int64         // bytes of the input that are sent
	reports       bool          // both processes write a report
	limit         string        // rate that tc(8) holds it to, when it has no pace of its own
	span          time.Duration // how long its input lasts at least
}

// run is one measurement of one contestant.
type run struct {
	name      string
	size      int64
	arrived   int64         // bytes in the output, as far as is known
	took      time.Duration // from the first growth of the output to the last
	tx, rx    time.Duration // CPU time of the processes, wait4(2)
	soft      time.Duration // CPU time of the kernel's ksoftirqd threads meanwhile
	wireBytes uint64        // that left the sending interface
	drops     uint64        // datagrams that sockets of the far namespace had no room for
	intact    bool
	ended     string // why the run ended, when it did not end by itself
	near      linkReport
	far       farReport
	altered   int // batches that were delivered and are not what was sent
}

// mbps is 0 when the output has grown only once: then there is no time to divide by.
func (r run) mbps() float64 {
	if r.took <= 0 {
		return 0
	}
	return float64(r.arrived) / 1e6 / r.took.Seconds()
}

func (r run) cpuPerGB() float64  { return (r.tx + r.rx).Seconds() / r.gb() }
func (r run) txPerGB() float64   { return r.tx.Seconds() / r.gb() }
func (r run) rxPerGB() float64   { return r.rx.Seconds() / r.gb() }
func (r run) softPerGB() float64 { return r.soft.Seconds() / r.gb() }
func (r run) wireRatio() float64 { return float64(r.wireBytes) / float64(r.size) }
func (r run) gb() float64        { return max(float64(r.arrived), 1) / 1e9 }

func (r run) String() string {
	text := fmt.Sprintf("%s: %.1f MB/s, %.2f CPU s/GB (tx %.2f, rx %.2f, ksoftirqd %.2f), wire %.3f", r.name, r.mbps(), r.cpuPerGB(), r.txPerGB(), r.rxPerGB(), r.softPerGB(), r.wireRatio())
	if !r.intact {
		text += fmt.Sprintf(", NOT INTACT: %d of %d bytes", r.arrived, r.size)
	}
	if r.drops > 0 {
		text += fmt.Sprintf(", %d datagrams dropped at the socket", r.drops)
	}
	if r.far.Gaps > 0 || r.far.Repaired > 0 {
		text += fmt.Sprintf(", %d blocks repaired, %d gaps", r.far.Repaired, r.far.Gaps)
	}
	if r.ended != "" {
		text += ", " + r.ended
	}
	return text
}

// change is what happens to the wire while a run goes on.
type change struct {
	after time.Duration // since the output began to grow
	loss  loss
}

// process is one end of a contestant.
type process struct {
	cmd    *exec.Cmd
	done   chan struct{}
	stderr *tail
}

func start(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{}), stderr: &tail{}}
	cmd.Stderr = p.stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // what it says is in its state and on its standard error
	}()
	return p, nil
}

// stop ends the process, at once or after patience, and returns the CPU time that it used.
func (p *process) stop(patience time.Duration) time.Duration {
	t := time.NewTimer(patience)
	defer t.Stop()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		select {
		case <-p.done:
			return p.cpu()
		case <-t.C:
			_ = p.cmd.Process.Signal(s)
			t.Reset(stopPatience)
		}
	}
	<-p.done
	return p.cpu()
}

func (p *process) cpu() time.Duration {
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// fault is what the process said when it ended badly.
func (p *process) fault() string {
	if p.ended() && !p.cmd.ProcessState.Success() {
		return fmt.Sprintf("%v: %s", p.cmd.ProcessState, strings.TrimSpace(p.stderr.text()))
	}
	return ""
}

// command prepares a program in a namespace, above the priority of what else the machine does.
func command(ctx context.Context, n *netlab.Namespace, args []string) *exec.Cmd {
	return n.Command(ctx, "nice", append([]string{"-n", "-10"}, args...)...)
}

// one measures a contestant once.
func (l *lab) one(ctx context.Context, p path, c contestant, changes ...change) (run, error) {
	r := run{name: c.name, size: c.size}
	if err := zero(l.output, c.size); err != nil {
		return r, err
	}
	before, err := l.counters(p)
	if err != nil {
		return r, err
	}
	rx, tx, err := l.startBoth(ctx, c)
	if err != nil {
		return r, err
	}
	watchErr := l.watch(ctx, &r, rx, tx, c.span, changes)
	r.rx = rx.stop(0)
	patience := stopPatience
	if c.reports {
		patience = 0 // a link has no end: it is told
	}
	r.tx = tx.stop(patience)
	after, err := l.counters(p)
	if err := errors.Join(watchErr, err, ctx.Err()); err != nil {
		return r, err
	}
	r.wireBytes = after.sent - before.sent + l.uncounted*(after.count-before.count)
	r.drops, r.soft = after.drops-before.drops, after.soft-before.soft
	if f := rx.fault(); f != "" {
		r.ended = "receiver: " + abridged(f)
	}
	return r, l.judge(&r, c)
}

// startBoth starts the receiver, waits until it listens, and starts the sender.
func (l *lab) startBoth(ctx context.Context, c contestant) (rx, tx *process, err error) {
	in, err := os.Open(c.input.path)
	if err != nil {
		return nil, nil, err
	}
	defer in.Close() //nolint:errcheck // the child has its own descriptor
	receive := command(ctx, l.far, c.receive)
	receive.Stdout = l.output
	if rx, err = start(receive); err != nil {
		return nil, nil, err
	}
	if err := listening(ctx, rx, "udp", c.port); err != nil {
		rx.stop(0)
		return nil, nil, fmt.Errorf("%s: receiver: %w: %s", c.name, err, rx.stderr.text())
	}
	send := command(ctx, l.near, c.send)
	send.Stdin = in
	if tx, err = start(send); err != nil {
		rx.stop(0)
		return nil, nil, err
	}
	return rx, tx, nil
}

// watch follows the output until the receiver ends or nothing comes any more.
func (l *lab) watch(ctx context.Context, r *run, rx, tx *process, span time.Duration, changes []change) error {
	tick := time.NewTicker(progressPoll)
	defer tick.Stop()
	begin := time.Now()
	var first, last time.Time
	var head int64
	for {
		at, err := l.output.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		now := time.Now()
		switch {
		case at != r.arrived && first.IsZero():
			first, last, head, r.arrived = now, now, at, at
		case at != r.arrived:
			last, r.arrived = now, at
		}
		// What came with the first growth took unknown time: it is left out on both sides.
		r.took = time.Duration(float64(last.Sub(first)) * float64(r.arrived) / max(float64(r.arrived-head), 1))
		if len(changes) > 0 && !first.IsZero() && now.Sub(first) >= changes[0].after {
			if err := l.wire.set(ctx, changes[0].loss); err != nil {
				return err
			}
			changes = changes[1:]
		}
		if rx.ended() {
			return nil
		}
		if since := now.Sub(later(last, begin)); since > quiet+span {
			r.ended = fmt.Sprintf("nothing more came for %v", quiet)
			if f := tx.fault(); f != "" {
				r.ended += ", sender: " + f
			}
			return nil
		}
		select {
		case <-tick.C:
		case <-rx.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// judge compares what arrived, and reads what both ends of the link say.
func (l *lab) judge(r *run, c contestant) (err error) {
	if c.reports {
		if err := errors.Join(readReport(l.reportFile(verbSend), &r.near), readReport(l.reportFile(verbReceive), &r.far)); err != nil {
			return fmt.Errorf("%s: %w: %s", r.name, err, r.ended)
		}
		r.arrived = int64(r.far.Weight)
	}
	if r.intact, err = l.same(c, r.size); err != nil || r.intact || !c.reports {
		return err
	}
	r.altered, err = sameBatches(c.input.path, l.output.Name(), r.size, func(seq uint64) bool { return contains(r.far.Delivered, seq) })
	return err
}

// same compares the output with what a contestant was given.
func (l *lab) same(c contestant, n int64) (bool, error) {
	want, err := c.input.sum(n)
	if err != nil {
		return false, err
	}
	got, err := sum(l.output.Name(), n)
	return string(want) == string(got), err
}

func (l *lab) reportFile(end string) string { return filepath.Join(l.dir, end+".json") }

// readReport reads and removes a report, so that none is taken for the next run's.
func readReport(path string, into any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return errors.Join(json.Unmarshal(b, into), os.Remove(path))
}

// abridged keeps the beginning and the end of what a process said: udp-receiver names every block.
func abridged(s string) string {
	const keep = 70
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= 2*keep {
		return s
	}
	return s[:keep] + " … " + s[len(s)-keep:]
}

// tailBytes is how much of a process's standard error is kept.
const tailBytes = 2000

// tail keeps the end of what is written to it. It is read only after the process has ended.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if over := len(t.b) - tailBytes; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

func (t *tail) text() string { return string(t.b) }
