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
	"strings"
	"syscall"
	"time"

	"github.com/sluice-gateway/sluice/test/cable"
)

const (
	// atMost bounds the demo: nobody watches longer (ours).
	atMost = 58 * time.Second
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
	fmt.Fprintf(w, banner, cut, perSecond)
	d := &demo{w: w, begin: time.Now(), cut: cut}
	if d.site, err = cable.New(ctx, dir, bin); err != nil {
		return err
	}
	err = d.run(ctx)
	d.site.Stop()
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("not done after %s: %w", atMost, err)
	}
	if err != nil {
		d.logs()
	}
	return err
}

// demo is one run.
type demo struct {
	w     io.Writer
	begin time.Time
	cut   time.Duration
	site  *cable.Site
}

const banner = `
A one-way link is cut for %s. Nothing can come back over it, so nobody tells the sender. See what happens.

  generator ──► plant node ──► cable ──► dmz node ──► records.ndjson
    %d/s                        ✂

`

func (d *demo) run(ctx context.Context) error {
	if err := d.site.Start(); err != nil {
		return err
	}
	if err := d.until(ctx, "the link is up", d.site.Up); err != nil {
		return err
	}
	d.say("both nodes run and the link is up; the generator begins")
	var sent int
	var genErr error
	genCtx, finish := context.WithCancel(ctx)
	generated := make(chan struct{})
	go func() {
		defer close(generated)
		sent, genErr = generate(genCtx, d.site.Syslog)
	}()
	err := d.story(ctx)
	finish()
	<-generated
	if err := errors.Join(genErr, err); err != nil {
		return err
	}
	return d.settle(ctx, sent)
}

// say tells what happens, and when.
func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.w, "%5.1f s  %s\n", time.Since(d.begin).Seconds(), fmt.Sprintf(format, args...))
}

// typed runs a command line on a machine and shows both it and what it printed.
func (d *demo) typed(ctx context.Context, n *cable.Node, args ...string) error {
	fmt.Fprintf(d.w, "\n%s$ sluice %s\n", n.Name, strings.Join(args, " "))
	out, err := n.Sluice(ctx, args...)
	fmt.Fprintln(d.w, out)
	return err
}

// until waits for something of the nodes.
func (d *demo) until(ctx context.Context, what string, ok func(context.Context) bool) error {
	if err := d.site.Until(ctx, ok); err != nil {
		return fmt.Errorf("waiting until %s: %w", what, err)
	}
	return nil
}

// logs shows what the daemons printed, when something went wrong.
func (d *demo) logs() {
	for _, n := range []*cable.Node{d.site.Plant, d.site.DMZ} {
		fmt.Fprintf(d.w, "\n--- log of node %s\n%s", n.Name, n.Log())
	}
}
