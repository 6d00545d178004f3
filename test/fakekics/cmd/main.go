// Command cmd runs a fake KICS node: it receives datagrams, writes each to a
// file in the format of package fakekics, and never answers. It says
// "listening ADDRESS" when the port is open, and "received N dropped N" when it
// ends by SIGINT or SIGTERM; dropped is what the kernel could not hold.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sluice-gateway/sluice/test/fakekics"
)

// lookEvery is how often a closed fake looks whether it may open. Ours.
const lookEvery = 20 * time.Millisecond

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "`address` and port")
	out := flag.String("out", "", "`file` for what is received")
	openWhen := flag.String("open-when", "", "keep the port closed until this `file` exists")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *out, *openWhen); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // nothing is left that stop would end
	}
}

func run(ctx context.Context, listen, out, openWhen string) (err error) {
	at, err := netip.ParseAddrPort(listen)
	if err != nil {
		return fmt.Errorf("fakekics: -listen: %w", err)
	}
	file, err := os.Create(out)
	if err != nil {
		return fmt.Errorf("fakekics: -out: %w", err)
	}
	w := bufio.NewWriterSize(file, 1<<20)
	defer func() { err = errors.Join(err, w.Flush(), file.Close()) }()
	if !waitFor(ctx, openWhen) {
		return nil
	}
	r, err := fakekics.Open(ctx, at)
	if err != nil {
		return err
	}
	fmt.Println("listening", r.Addr())
	received := 0
	err = r.Receive(ctx, func(d fakekics.Datagram) error {
		received++
		return fakekics.Write(w, d)
	})
	fmt.Println("received", received, "dropped", r.Dropped())
	return err
}

// waitFor reports whether the file came before ctx ended.
func waitFor(ctx context.Context, path string) bool {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for path != "" {
		if _, err := os.Stat(path); err == nil {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}
