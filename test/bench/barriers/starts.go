package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/sdk"
)

// pairOf holds what was measured with the barriers and without.
type pairOf[T any] struct{ on, off []T }

// startName is the plugin that is started: the receiver of datagrams.
const startName = "udp"

// starts measures the time from Start to a plugin that has answered, confined and not, in turn.
func starts(ctx context.Context, o options, root string, out io.Writer) (p pairOf[time.Duration], err error) {
	var hosts [2]*pluginhost.Host
	for i, open := range []bool{false, true} {
		hosts[i], err = pluginhost.New(pluginhost.Config{
			Dirs: []string{o.bin}, RuntimeDir: filepath.Join(root, fmt.Sprint("h", i)), Shim: shim(), Unconfined: open, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			return p, err
		}
		defer hosts[i].Close() //nolint:errcheck // the instances have been stopped
	}
	for _, l := range hosts[0].Layers() { // tried once, as a gateway does, not at every start
		if !l.OK {
			fmt.Fprintf(out, "plugin start: without %s: %s\n", l.Name, l.Reason)
		}
	}
	for i := range o.starts + 1 {
		var took [2]time.Duration
		for k, h := range hosts {
			if took[k], err = startOne(ctx, h); err != nil {
				return p, err
			}
		}
		if i > 0 { // the first one of each copies and hashes the program
			p.on, p.off = append(p.on, took[0]), append(p.off, took[1])
		}
	}
	return p, nil
}

func startOne(ctx context.Context, h *pluginhost.Host) (time.Duration, error) {
	begin := time.Now()
	i, err := h.Start(ctx, sdk.KindReceiver, startName, startName+".bench")
	took := time.Since(begin)
	if err != nil {
		return 0, err
	}
	return took, i.Stop(ctx)
}
