package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/sluice-gateway/sluice/gateway/console"
)

const (
	// watchEvery is how often a node is asked how far it is (ours).
	watchEvery = 200 * time.Millisecond
	// sayEvery is how often a line says so where there is no terminal (ours).
	sayEvery = 2 * time.Second
)

// errLinkEnded is why a resend can no longer be watched.
var errLinkEnded = errors.New("the link was closed meanwhile, and forgot what was still queued: look at the gaps on the far side, and ask for what is left again")

// resendProgress asks how far the link's resends are.
func resendProgress(ctx context.Context, e end) (console.ResendProgress, error) {
	st, err := console.Fetch(ctx, e.client.Path)
	if err != nil {
		return console.ResendProgress{}, err
	}
	for _, l := range st.Links {
		if l.Name == e.link.Name && l.Direction == sends && l.Send != nil {
			return l.Send.Resend, nil
		}
	}
	return console.ResendProgress{}, fmt.Errorf("%s: %w", e.link.Name, errLinkEnded)
}

// watchResend shows how far n batches are, that were queued when the link had sent from, until all are done. When the
// command is interrupted, the link goes on.
func watchResend(cmd *cobra.Command, e end, n uint64, from console.ResendProgress) error {
	show := newDisplay(cmd.OutOrStdout(), n, from)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		now, err := resendProgress(cmd.Context(), e)
		if err == nil && (now.Sent < from.Sent || now.Missing < from.Missing) {
			err = fmt.Errorf("%s: %w", e.link.Name, errLinkEnded)
		}
		if cmd.Context().Err() != nil {
			show.end()
			return errors.New("no longer watching; the link goes on sending")
		}
		if err != nil {
			show.end()
			return err
		}
		show.at(now)
		if done(n, from, now) {
			show.end()
			_, err := fmt.Fprintln(cmd.OutOrStdout(), console.ProgressText(n, from, now))
			return err
		}
		select {
		case <-tick.C:
		case <-cmd.Context().Done():
		}
	}
}

func done(n uint64, from, now console.ResendProgress) bool {
	return now.Sent-from.Sent+now.Missing-from.Missing >= n || now.Queued == 0
}

// display is a bar on a terminal, else a line now and then.
type display interface {
	at(now console.ResendProgress)
	end()
}

func newDisplay(w io.Writer, n uint64, from console.ResendProgress) display {
	if isTerminal(w) {
		return newBar(w, n, from)
	}
	return &lines{w: w, n: n, from: from, last: time.Now()}
}

type lines struct {
	w    io.Writer
	n    uint64
	from console.ResendProgress
	last time.Time
}

func (l *lines) at(now console.ResendProgress) {
	if time.Since(l.last) >= sayEvery {
		l.last = time.Now()
		fmt.Fprintln(l.w, console.ProgressText(l.n, l.from, now))
	}
}

func (*lines) end() {}

type bar struct {
	all  *mpb.Progress
	one  *mpb.Bar
	from console.ResendProgress
}

func newBar(w io.Writer, n uint64, from console.ResendProgress) *bar {
	all := mpb.New(mpb.WithOutput(w), mpb.WithWidth(40))
	one := all.AddBar(int64(min(n, 1<<62)), mpb.PrependDecorators(decor.CountersNoUnit("%d of %d batches ")),
		mpb.AppendDecorators(decor.OnComplete(decor.AverageETA(decor.ET_STYLE_GO), "done")))
	return &bar{all: all, one: one, from: from}
}

func (b *bar) at(now console.ResendProgress) {
	b.one.SetCurrent(int64(now.Sent - b.from.Sent + now.Missing - b.from.Missing))
}

func (b *bar) end() {
	b.one.Abort(false)
	b.all.Wait()
}
