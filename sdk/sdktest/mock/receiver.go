package mock

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

// maxLine bounds a line, bytes (ours).
const maxLine = 64 << 10

// Receiver takes lines over TCP or datagrams, or makes records.
type Receiver struct{ base }

// NewReceiver makes a receiver with a fault.
func NewReceiver(f Fault) *Receiver { return &Receiver{newBase(sdk.KindReceiver, f)} }

// Run fails as the fault says, or works.
func (r *Receiver) Run(ctx context.Context, network sdk.Network, out sdk.Intake) error {
	defer close(r.done)
	if over, err := r.misbehave(ctx, network); over {
		return err
	}
	if r.fault == GarbageBatch {
		return garbage(ctx, out)
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	w, err := sdk.NewWriter(out, r.setup, r.writing())
	if err != nil {
		return err
	}
	wg.Go(func() { _ = w.Run(ctx) })
	if err := r.take(ctx, network, w); err != nil {
		return err
	}
	if r.fault == LoseOnDrain {
		return nil
	}
	return flush(ctx, w)
}

// writing has what LoseOnDrain is to lose wait for its flush.
func (r *Receiver) writing() sdk.WriterOptions {
	if r.fault == LoseOnDrain {
		return sdk.WriterOptions{Linger: time.Hour}
	}
	return sdk.WriterOptions{}
}

func (r *Receiver) take(ctx context.Context, network sdk.Network, w *sdk.Writer) error {
	switch r.config.Network {
	case "tcp":
		return r.lines(ctx, network, w)
	case "udp":
		return r.datagrams(ctx, network, w)
	}
	for i := range r.config.Records {
		rec := sdk.Record{Kind: sdk.KindOpaque, Received: time.Now(), Payload: fmt.Append(nil, "record ", i)}
		if _, err := w.Write(ctx, sdk.Connection{}, []sdk.Record{rec}); err != nil {
			return err
		}
	}
	select {
	case <-r.draining:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// flush waits for the core's decision, for a second: a stuck core must not keep Drain.
func flush(ctx context.Context, w *sdk.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return w.Flush(ctx)
}

// garbage sends batches that are none, each different.
func garbage(ctx context.Context, out sdk.Intake) error {
	for i := byte(0); ; i++ {
		batch := append([]byte("SB"), i, i, i, i)
		if err := out.Deliver(ctx, sdk.ClassBulk, batch, func(error) {}); err != nil {
			return err
		}
	}
}

func (r *Receiver) lines(ctx context.Context, network sdk.Network, w *sdk.Writer) error {
	l, err := network.Listener(ctx)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	over, stop := context.WithCancel(ctx)
	defer stop()
	wg.Go(func() {
		select {
		case <-r.draining:
		case <-over.Done():
		}
		_ = l.Close()
	})
	for {
		c, err := l.Accept()
		if err != nil {
			return ctx.Err()
		}
		wg.Go(func() { r.serve(ctx, w, c) })
	}
}

// serve takes lines to the end of the connection or, after Drain, to a silence.
func (r *Receiver) serve(ctx context.Context, w *sdk.Writer, c net.Conn) {
	defer c.Close() //nolint:errcheck // read only
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	over := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(over)
	wg.Go(func() {
		select {
		case <-r.draining:
			_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		case <-over:
		}
	})
	in := bufio.NewReaderSize(c, maxLine)
	for {
		line, err := in.ReadSlice('\n') // a longer line is an error
		if err != nil {
			return
		}
		if r.fault == AnswerTooSoon {
			_, _ = io.WriteString(c, "ok\n")
		}
		rec := sdk.Record{Kind: sdk.KindOpaque, Received: time.Now(), Payload: line[:len(line)-1]}
		if _, err := w.Write(ctx, sdk.ConnectionOf(c), []sdk.Record{rec}); err != nil {
			return
		}
	}
}

func (r *Receiver) datagrams(ctx context.Context, network sdk.Network, w *sdk.Writer) error {
	p, err := network.Packets(ctx)
	if err != nil {
		return err
	}
	defer p.Close() //nolint:errcheck // read only
	over, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() {
		select {
		case <-r.draining:
			p.Finish()
		case <-over.Done():
		}
	})
	var recs []sdk.Record
	for {
		grams, err := p.ReadBatch(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		recs = recs[:0]
		for _, g := range grams {
			recs = append(recs, sdk.Record{
				Kind: sdk.KindOpaque, Received: g.Received, Payload: g.Payload,
				Connection: sdk.Connection{Remote: g.Remote, Interface: g.Interface},
			})
		}
		if _, err := w.WriteFrom(ctx, recs); err != nil {
			return err
		}
	}
}
