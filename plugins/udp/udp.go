package udp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"

	"github.com/sluice-gateway/sluice/internal/drain"
	"github.com/sluice-gateway/sluice/internal/severity"
	"github.com/sluice-gateway/sluice/internal/syslogtime"
	"github.com/sluice-gateway/sluice/sdk"
)

// maxWrite bounds the records that are built before they are handed on (ours: some tens of kilobytes).
const maxWrite = 256

// Receiver is the plugin. Make it with New.
type Receiver struct {
	gate *drain.Gate

	mu     sync.Mutex // guards what Configure sets
	setup  sdk.Setup
	config config
}

// New makes a receiver that is not configured.
func New() *Receiver { return &Receiver{gate: drain.New()} }

// Describe says what the plugin is.
func (r *Receiver) Describe(context.Context) (sdk.Info, error) {
	return sdk.Info{Kind: sdk.KindReceiver, Name: "udp", Version: version, API: sdk.APIVersion, Schema: schema()}, nil
}

// Validate checks a body.
func (r *Receiver) Validate(_ context.Context, raw json.RawMessage) (sdk.Traits, []sdk.Problem, error) {
	c, err := decode(raw)
	if err != nil {
		return sdk.Traits{}, nil, err
	}
	return c.traits(), c.problems(), nil
}

// Configure takes the body.
func (r *Receiver) Configure(_ context.Context, s sdk.Setup) error {
	c, err := decode(s.Config)
	if err != nil {
		return err
	}
	if ps := c.problems(); len(ps) > 0 {
		return &sdk.Error{Code: sdk.CodeConfig, Detail: ps[0].Text, Path: ps[0].Path}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.setup, r.config = s, c
	return nil
}

// Drain asks the core for no more datagrams and waits until it has decided on those that it had handed over.
func (r *Receiver) Drain(ctx context.Context) error { return r.gate.Drain(ctx) }

// Run passes datagrams on.
func (r *Receiver) Run(ctx context.Context, network sdk.Network, out sdk.Intake) error {
	work, end := r.gate.Begin(ctx)
	defer end()
	r.mu.Lock()
	setup, conf := r.setup, r.config
	r.mu.Unlock()
	threshold, _ := severity.ParseThreshold(conf.Critical) // Configure has checked it
	w, err := sdk.NewWriters(out, setup, !threshold.Never())
	if err != nil {
		return err
	}
	packets, err := network.Packets(work)
	if err != nil {
		return err
	}
	defer packets.Close() //nolint:errcheck // nothing is written to it
	work, stop := context.WithCancelCause(work)
	var writing sync.WaitGroup
	for _, one := range w.All() {
		writing.Go(func() { stop(one.Run(work)) })
	}
	f := &flow{packets: packets, writers: w, threshold: threshold, kind: conf.kind()}
	err = f.run(work, r.gate.Asked())
	stop(err)
	writing.Wait()
	if cause := context.Cause(work); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// flow is one Run: datagrams on their way to the core.
type flow struct {
	packets   sdk.PacketReader
	writers   sdk.Writers
	threshold severity.Threshold
	kind      sdk.Kind
	records   [2][]sdk.Record // of one Write, by class, used again
}

// run passes datagrams on until there are no more, and waits for the core's decision on them.
func (f *flow) run(ctx context.Context, asked <-chan struct{}) error {
	ended := make(chan struct{})
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer close(ended)
	waiting.Go(func() {
		select {
		case <-asked:
			f.packets.Finish()
		case <-ended:
		}
	})
	if err := f.read(ctx); err != nil {
		return err
	}
	if err := f.writers.Flush(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("drain: %w", err)
	}
	return nil
}

func (f *flow) read(ctx context.Context) error {
	for {
		grams, err := f.packets.ReadBatch(ctx)
		switch {
		case errors.Is(err, io.EOF), ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return &sdk.Error{Code: sdk.CodeGone, Detail: "the core has closed the feed", Retryable: true}
		case err != nil:
			return fmt.Errorf("read: %w", err)
		}
		if err := f.pass(ctx, grams); err != nil {
			return err
		}
	}
}

// pass hands datagrams to the core, each in its class, in the order in which they came within a class; what is critical
// goes first.
func (f *flow) pass(ctx context.Context, grams []sdk.Datagram) error {
	for chunk := range slices.Chunk(grams, maxWrite) {
		bulk, critical := f.records[sdk.ClassBulk][:0], f.records[sdk.ClassCritical][:0]
		for i := range chunk {
			if f.threshold.Takes(chunk[i].Payload) {
				critical = append(critical, f.record(&chunk[i]))
			} else {
				bulk = append(bulk, f.record(&chunk[i]))
			}
		}
		f.records = [2][]sdk.Record{sdk.ClassBulk: bulk, sdk.ClassCritical: critical}
		if err := write(ctx, f.writers, bulk, critical); err != nil {
			return err
		}
	}
	return nil
}

func (f *flow) record(d *sdk.Datagram) sdk.Record {
	r := sdk.Record{
		Connection: sdk.Connection{Remote: d.Remote, Interface: d.Interface},
		Kind:       f.kind, Received: d.Received, Payload: d.Payload,
	}
	if f.kind == sdk.KindSyslog {
		r.Event = syslogtime.Of(d.Payload, d.Received)
	}
	return r
}
