package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// generateVerb makes this program the generator: a process of its own, so that it is not measured.
const generateVerb = "generate"

// quickLimit is how long a quick run may take: 45 s with the building of this program.
const quickLimit = 40 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	switch {
	case len(os.Args) > 1 && os.Args[1] == generateVerb:
		err = generate(ctx, os.Args[2:], os.Stdin, os.Stdout)
	case len(os.Args) > 1 && os.Args[1] == apartVerb:
		if err = settle(ctx); err == nil {
			err = bench(ctx, os.Args[2:], os.Stdout)
		}
	case wardens():
		err = apart(ctx, os.Args[1:])
	default:
		err = bench(ctx, os.Args[1:], os.Stdout)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: "+err.Error())
		os.Exit(1)
	}
}

// options of one run.
type options struct {
	bin, dir, report string
	quick, update    bool
	count            uint64 // messages over TLS per round
	rounds           int
	connections      int
	udpRate          uint64 // datagrams per second
	udpFor           time.Duration
	latencyRate      uint64 // messages per second
	latencyFor       time.Duration
	linkRate         string // as in a configuration
	seed             uint64
	only             string
	deadline         time.Time // of a quick run
	// What is measured.
	tls, many, udp, latency bool
}

func parse(args []string, out io.Writer) (options, error) {
	o := options{quick: os.Getenv("QUICK") == "1", update: os.Getenv("UPDATE") == "1", count: 2_000_000, udpFor: 5 * time.Second, latencyFor: 10 * time.Second}
	if o.quick {
		o.count, o.udpFor, o.latencyFor = 300_000, 1500*time.Millisecond, 3*time.Second
		o.deadline = time.Now().Add(quickLimit)
	}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(out)
	f.StringVar(&o.bin, "bin", "bin", "directory with the programs that are measured")
	f.StringVar(&o.dir, "dir", "", "directory for what the sides write; its disk is part of what is measured (default: the temporary directory)")
	f.StringVar(&o.report, "report", "docs/performance.md", "document that UPDATE=1 or -update writes the tables into")
	f.BoolVar(&o.update, "update", o.update, "write the tables into the document")
	f.Uint64Var(&o.count, "count", o.count, "messages over TLS per round")
	f.IntVar(&o.rounds, "rounds", 3, "rounds per side, alternately")
	f.IntVar(&o.connections, "connections", 1, "TLS connections")
	f.Uint64Var(&o.udpRate, "udp-rate", 100_000, "datagrams per second")
	f.DurationVar(&o.udpFor, "udp-for", o.udpFor, "how long datagrams are sent")
	f.Uint64Var(&o.latencyRate, "latency-rate", 1000, "messages per second while times are taken")
	f.DurationVar(&o.latencyFor, "latency-for", o.latencyFor, "how long times are taken")
	f.StringVar(&o.linkRate, "link-rate", "2Gbit", "rate of the link on the wire")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the messages' text")
	f.StringVar(&o.only, "only", "", "measure only tls, udp or latency")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	wanted := func(name string) bool { return o.only == "" || o.only == name }
	o.tls, o.udp, o.latency = wanted("tls"), wanted("udp"), wanted("latency")
	o.many = !o.quick && o.only == ""
	if o.rounds < 1 || o.connections < 1 || o.count < 1 || !o.tls && !o.udp && !o.latency {
		return o, errors.New("-rounds, -connections and -count begin at 1; -only is tls, udp or latency")
	}
	return o, nil
}

// bench runs everything and reports.
func bench(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args, out)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if o.quick {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, o.deadline)
		defer cancel()
	}
	l, err := newLab(o)
	if err != nil {
		return err
	}
	defer l.close()
	if err := l.checkPrograms(); err != nil {
		return err
	}
	if wardens() {
		if err := l.startWarden(ctx); err != nil {
			return err
		}
	}
	r := &report{setup: setup(ctx, o, l)}
	fmt.Fprint(out, r.setup.text())
	if err := measure(ctx, l, r, out); err != nil {
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
