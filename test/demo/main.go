package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// atMost bounds the demo: nobody watches longer (ours).
	atMost = 58 * time.Second
	// poll is how often the nodes are asked (ours).
	poll = 50 * time.Millisecond
	// before is how long the link works before it is cut, to be seen working (ours).
	before = 3 * time.Second
)

func main() {
	bin := flag.String("bin", "bin", "`directory` of the programs")
	cut := flag.Duration("cut", 10*time.Second, "how long the link is cut")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := show(ctx, os.Stdout, *bin, *cut)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// show runs the demo from the beginning to the end.
func show(ctx context.Context, w io.Writer, bin string, cut time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sluice-demo-") // short: unix sockets lie below it
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	d := &demo{w: w, begin: time.Now(), dir: dir, bin: bin, cut: cut}
	err = d.run(ctx)
	if err != nil && ctx.Err() == context.DeadlineExceeded {
		err = fmt.Errorf("not done after %s: %w", atMost, err)
	}
	if err != nil {
		d.logs()
	}
	return err
}

// demo is one run.
type demo struct {
	w          io.Writer
	begin      time.Time
	dir, bin   string
	cut        time.Duration
	plant, dmz *node
	wire       *wire
	ports      ports
}

const banner = `
A one-way link is cut for %s. Nothing can come back over it, so nobody tells the sender. See what happens.

  generator ──► plant node ──► cable ──► dmz node ──► records.ndjson
   %d/s                        ✂

`

func (d *demo) run(ctx context.Context) error {
	fmt.Fprintf(d.w, banner, d.cut, perSecond)
	if err := d.prepare(ctx); err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wireCtx, unplug := context.WithCancel(context.WithoutCancel(ctx))
	defer unplug()
	wg.Go(func() { d.wire.run(wireCtx) })
	for _, n := range []*node{d.dmz, d.plant} {
		if err := n.start(); err != nil {
			return err
		}
		defer n.stop()
	}
	if err := d.until(ctx, "the link is up", d.up); err != nil {
		return err
	}
	d.say("both nodes run and the link is up; the generator begins")
	var sent int
	var genErr error
	genCtx, finish := context.WithCancel(ctx)
	generated := make(chan struct{})
	wg.Go(func() {
		defer close(generated)
		sent, genErr = generate(genCtx, d.ports.tcp)
	})
	err := d.story(ctx)
	finish()
	<-generated
	if err != nil || genErr != nil {
		return firstOf(genErr, err)
	}
	return d.settle(ctx, sent)
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// prepare makes two machines with a configuration and keys.
func (d *demo) prepare(ctx context.Context) error {
	var err error
	if d.ports, err = freePorts(ctx); err != nil {
		return err
	}
	far := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(d.ports.link)) //nolint:gosec // a port
	if d.wire, err = newWire(ctx, far); err != nil {
		return err
	}
	config := filepath.Join(d.dir, "config")
	if err := writeConfig(config, d.ports, d.wire.address()); err != nil {
		return err
	}
	for name, n := range map[string]**node{plantName: &d.plant, dmzName: &d.dmz} {
		*n = &node{name: name, dir: filepath.Join(d.dir, name), bin: d.bin, config: config}
		if err := os.MkdirAll((*n).state(), 0o700); err != nil {
			return err
		}
	}
	return d.pair(ctx)
}

// pair makes the keys and carries each to its machine.
func (d *demo) pair(ctx context.Context) error {
	carried := filepath.Join(d.dir, "carried")
	if _, err := d.plant.sluice(ctx, "diode", "pair", linkName, "--pairing", pairingName, "--out", carried); err != nil {
		return err
	}
	for side, n := range map[string]*node{"send": d.plant, "receive": d.dmz} {
		file := filepath.Join(carried, linkName+"-"+pairingName+"."+side+".json")
		if _, err := n.sluice(ctx, "diode", "pair", "--install", file); err != nil {
			return err
		}
	}
	return nil
}

// say tells what happens, and when.
func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.w, "%5.1f s  %s\n", time.Since(d.begin).Seconds(), fmt.Sprintf(format, args...))
}

// typed runs a command line on a machine and shows both it and what it printed.
func (d *demo) typed(ctx context.Context, n *node, args ...string) error {
	fmt.Fprintf(d.w, "\n%s$ sluice %s\n", n.name, strings.Join(args, " "))
	out, err := n.sluice(ctx, args...)
	fmt.Fprintln(d.w, out)
	return err
}

// until waits for something of the nodes.
func (d *demo) until(ctx context.Context, what string, ok func(context.Context) bool) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for !ok(ctx) {
		if err := firstOf(d.plant.ended(), d.dmz.ended()); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, ctx.Err())
		}
	}
	return nil
}

// logs shows what the daemons printed, when something went wrong.
func (d *demo) logs() {
	for _, n := range []*node{d.plant, d.dmz} {
		if n != nil {
			fmt.Fprintf(d.w, "\n--- log of node %s\n%s", n.name, n.log.String())
		}
	}
}
