package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-gateway/sluice/test/netlab"
)

// Verbs by which this program starts itself as one of the measured processes.
const (
	verbSend       = "send"
	verbReceive    = "receive"
	verbRawSend    = "raw-send"
	verbRawReceive = "raw-receive"
)

// quickLimit is how long a quick run may take: 45 s with the building of this program.
const quickLimit = 38 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := dispatch(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-diode: "+err.Error())
		os.Exit(1)
	}
}

func dispatch(ctx context.Context, args []string) error {
	verbs := map[string]func(context.Context, []string) error{
		verbSend: runNear, verbReceive: runFar, verbRawSend: runRawSend, verbRawReceive: runRawReceive,
	}
	if len(args) > 0 && verbs[args[0]] != nil {
		return verbs[args[0]](ctx, args[1:])
	}
	o, err := parse(args, os.Stdout)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	return bench(ctx, o, os.Stdout)
}

// options of one run.
type options struct {
	dir, report    string
	quick, update  bool
	runs           int
	size, peerSize int64  // bytes of payload per run, ours and the yardstick's
	rate           uint64 // bits per second on the wire; 0: found by trial
	seed           uint64
	only           string
	gro, fenced    bool
	profiles       string
	peerSend       string // command lines of a further contestant
	peerReceive    string
	peerName       string
	peerPort       int
	peerLimit      string // rate that tc(8) holds the further contestant to
	deadline       time.Time
	latencyFor     time.Duration
}

const mb = 1_000_000 // bytes

func parse(args []string, out io.Writer) (options, error) {
	o := options{
		quick: os.Getenv("QUICK") == "1", update: os.Getenv("UPDATE") == "1", runs: 5, latencyFor: 4 * time.Second,
		size: 768 * mb, peerSize: 192 * mb,
	}
	if o.quick {
		o.runs, o.size, o.peerSize, o.latencyFor = 3, 384*mb, 96*mb, 2*time.Second
		o.deadline = time.Now().Add(quickLimit)
	}
	f := flag.NewFlagSet("bench-diode", flag.ContinueOnError)
	f.SetOutput(out)
	f.StringVar(&o.dir, "dir", "/dev/shm", "directory for the payload; a tmpfs, so that no disk is measured")
	f.StringVar(&o.report, "report", "docs/performance.md", "document that UPDATE=1 or -update writes the tables into")
	f.BoolVar(&o.update, "update", o.update, "write the tables into the document")
	f.IntVar(&o.runs, "runs", o.runs, "runs per row and contestant, alternately")
	f.Int64Var(&o.size, "size", o.size, "bytes of payload per run")
	f.Int64Var(&o.peerSize, "peer-size", o.peerSize, "bytes of payload per run of the yardstick, which is slower")
	f.Uint64Var(&o.rate, "rate", 0, "rate of the link in bits per second on the wire (default: the highest that loses nothing, found by trial)")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the payload")
	f.StringVar(&o.only, "only", "", "measure only rows whose name contains one of these words, separated by commas")
	f.BoolVar(&o.gro, "gro", true, "generic receive offload on the receiving interface, as real cards have")
	f.BoolVar(&o.fenced, "fenced", false, "measure the link alone, alternately with the guard's fence at both ends and without; each run is a line "+fencedPrefix+"{…}")
	f.StringVar(&o.profiles, "profiles", "", "directory for CPU profiles of both ends of the link")
	f.StringVar(&o.peerSend, "peer-send", "", "command line of a further contestant's sender, which reads standard input; {to}, {mtu} are replaced")
	f.StringVar(&o.peerReceive, "peer-receive", "", "command line of its receiver, which writes standard output; {at}, {mtu} are replaced")
	f.StringVar(&o.peerName, "peer-name", "peer", "its name")
	f.IntVar(&o.peerPort, "peer-port", 6000, "UDP port that its receiver listens on")
	f.StringVar(&o.peerLimit, "peer-limit", "", "rate that tc(8) tbf holds it to, such as 1gbit, for one that does not pace itself")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	return o, o.check()
}

func (o options) check() error {
	var errs []error
	if o.runs < 1 {
		errs = append(errs, errors.New("-runs begins at 1"))
	}
	if o.size < batchBytes || o.peerSize < batchBytes {
		errs = append(errs, fmt.Errorf("-size and -peer-size begin at %d", batchBytes))
	}
	if (o.peerSend == "") != (o.peerReceive == "") {
		errs = append(errs, errors.New("-peer-send and -peer-receive go together"))
	}
	return errors.Join(errs...)
}

// wants says whether a row is to be measured.
func (o options) wants(name string) bool {
	if o.only == "" {
		return true
	}
	for word := range strings.SplitSeq(o.only, ",") {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// bench measures everything and reports.
func bench(ctx context.Context, o options, out io.Writer) error {
	if err := netlab.Supported(); err != nil {
		return err
	}
	if o.quick {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, o.deadline)
		defer cancel()
	}
	if o.fenced {
		return inLab(ctx, o, out, func(l *lab) error { return l.measureFenced(ctx) })
	}
	r := &report{setup: setup(ctx, o)}
	fmt.Fprintln(out, strings.Join(r.setup, "\n"))
	err := inLab(ctx, o, out, func(l *lab) error { return l.measure(ctx, r) })
	switch {
	case o.quick && errors.Is(ctx.Err(), context.DeadlineExceeded) && len(r.rows) > 0 && len(r.rows[0].runs) > 0:
		fmt.Fprintln(out, "broken off: no time left")
	case err != nil:
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
