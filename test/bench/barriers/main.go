package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/test/bench/stage"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// Verbs by which this program starts itself.
const (
	verbCore = "core"
	verbShim = "plugin-exec"
)

// quickLimit is how long a quick run may take: 45 s with the building of the programs.
const quickLimit = 40 * time.Second

// priority of everything that is measured, above what else the machine does (nice(2)).
const priority = -10

func main() {
	if len(os.Args) > 1 && os.Args[1] == verbShim {
		os.Exit(pluginhost.Shim(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if len(os.Args) > 1 && os.Args[1] == verbCore {
		err = core(ctx, os.Args[2:])
	} else {
		err = bench(ctx, os.Args[1:], os.Stdout)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-guard: "+err.Error())
		os.Exit(1)
	}
}

// options of one run.
type options struct {
	bin, programs, dir, report string
	quick, update              bool
	rounds, starts             int
	count                      uint64 // messages over TLS per round
	udpRate                    uint64 // datagrams per second
	udpFor                     time.Duration
	seed                       uint64
	only                       string
	deadline                   time.Time // of a quick run
}

func parse(args []string, out io.Writer) (options, error) {
	o := options{
		quick: os.Getenv("QUICK") == "1", update: os.Getenv("UPDATE") == "1", rounds: 7, starts: 20, count: 1_000_000, udpFor: 4 * time.Second,
	}
	if o.quick {
		o.rounds, o.count, o.udpFor, o.deadline = 3, 200_000, time.Second, time.Now().Add(quickLimit)
	}
	f := flag.NewFlagSet("bench-guard", flag.ContinueOnError)
	f.SetOutput(out)
	f.StringVar(&o.bin, "bin", "bin", "directory with the programs that are measured")
	f.StringVar(&o.programs, "programs", "bin/bench", "directory with the programs of the other benchmarks, which do the work")
	f.StringVar(&o.dir, "dir", "", "directory for what the sides write (default: the temporary directory)")
	f.StringVar(&o.report, "report", "docs/performance.md", "document that UPDATE=1 or -update writes the tables into")
	f.BoolVar(&o.update, "update", o.update, "write the tables into the document")
	f.IntVar(&o.rounds, "rounds", o.rounds, "rounds per side, alternately")
	f.IntVar(&o.starts, "starts", o.starts, "starts of a plugin per side, alternately")
	f.Uint64Var(&o.count, "count", o.count, "messages over TLS per round")
	f.Uint64Var(&o.udpRate, "udp-rate", 50_000, "datagrams per second")
	f.DurationVar(&o.udpFor, "udp-for", o.udpFor, "how long datagrams are sent")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the messages' text")
	f.StringVar(&o.only, "only", "", "measure only way, link or start")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.rounds < 1 || o.starts < 1 || o.count < 1 || o.udpRate < 1 {
		return o, errors.New("-rounds, -starts, -count and -udp-rate begin at 1")
	}
	var errs [2]error
	o.bin, errs[0] = filepath.Abs(o.bin)
	o.programs, errs[1] = filepath.Abs(o.programs)
	return o, errors.Join(errs[:]...)
}

func (o options) wants(part string) bool { return o.only == "" || o.only == part }

// bench measures everything and reports.
func bench(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args, out)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := netlab.Supported(); err != nil {
		return err
	}
	if o.quick {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, o.deadline)
		defer cancel()
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, priority); err != nil {
		return fmt.Errorf("priority: %w", err)
	}
	r := newReport(o)
	fmt.Fprintln(out, r.head())
	err = stage.Run(ctx, "bench-guard", out, func(tb testing.TB) error {
		tb.Helper()
		return measure(ctx, tb, o, r, out)
	})
	if err != nil {
		return err
	}
	fmt.Fprint(out, r.tables())
	if o.update {
		if err := r.write(o.report); err != nil {
			return err
		}
		fmt.Fprintln(out, "written to "+o.report)
	}
	fmt.Fprintln(out, r.result())
	return nil
}

// measure runs what was asked for, the shortest first, so that a quick run has all of it.
func measure(ctx context.Context, tb testing.TB, o options, r *report, out io.Writer) error {
	tb.Helper()
	root, err := os.MkdirTemp(o.dir, "slg")
	if err != nil {
		return err
	}
	tb.Cleanup(func() { _ = os.RemoveAll(root) })
	if o.wants("start") {
		if r.starts, err = starts(ctx, o, root, out); err != nil {
			return fmt.Errorf("plugin start: %w", err)
		}
	}
	if o.wants("link") {
		if r.link, err = link(ctx, o, out); err != nil {
			return fmt.Errorf("link: %w", err)
		}
	}
	if !o.wants("way") {
		return nil
	}
	l, err := newLab(tb, o, root)
	if err != nil {
		return err
	}
	return l.measure(ctx, r, out)
}
