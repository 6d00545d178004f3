package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/sluice-gateway/sluice/sdk"
)

// playPlugin is a plugin process: the receiver "grams" makes a record of each datagram, the sink "keep" writes a line
// for each record.
func playPlugin(file string) {
	if strings.HasPrefix(file, "sluice-receiver-") {
		sdk.Serve(&grams{plugin{draining: make(chan struct{})}})
		return
	}
	sdk.Serve(&keep{plugin{draining: make(chan struct{})}})
}

// body is what both take in `config {}`.
type body struct {
	Path  string `json:"path"`
	Fault string `json:"fault"` // "hold": the sink takes nothing; "dies": the receiver ends at a datagram "die"
}

func schemaOf() sdk.Schema {
	return sdk.Schema{Attributes: []sdk.Attribute{
		{Name: "path", Type: sdk.TypeString, Format: sdk.FormatOutput, Doc: "File to write."}, {Name: "fault", Type: sdk.TypeString, Doc: "What goes wrong."},
	}}
}

// plugin is what both have in common.
type plugin struct {
	once     sync.Once
	draining chan struct{}

	mu    sync.Mutex // guards both
	setup sdk.Setup
	body  body
}

func (p *plugin) Drain(context.Context) error {
	p.once.Do(func() { close(p.draining) })
	return nil
}

func (p *plugin) Configure(_ context.Context, s sdk.Setup) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.setup = s
	return json.Unmarshal(s.Config, &p.body)
}

func (p *plugin) configured() (sdk.Setup, body) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.setup, p.body
}

type grams struct{ plugin }

func (*grams) Describe(context.Context) (sdk.Info, error) {
	return sdk.Info{Kind: sdk.KindReceiver, Name: "grams", Version: "1.0.0", API: sdk.APIVersion, Schema: schemaOf()}, nil
}

func (*grams) Validate(context.Context, json.RawMessage) (sdk.Traits, []sdk.Problem, error) {
	return sdk.Traits{Protocol: "opaque", Network: "udp", Encryption: "by-endpoint", Kind: "opaque"}, nil, nil
}

func (g *grams) Run(ctx context.Context, network sdk.Network, out sdk.Intake) error {
	setup, body := g.configured()
	packets, err := network.Packets(ctx)
	if err != nil {
		return err
	}
	defer packets.Close() //nolint:errcheck // read only
	w, err := sdk.NewWriter(out, setup, sdk.WriterOptions{})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { _ = w.Run(ctx) })
	wg.Go(func() {
		select {
		case <-g.draining:
			packets.Finish()
		case <-ctx.Done():
		}
	})
	return g.pass(ctx, packets, w, body)
}

func (g *grams) pass(ctx context.Context, packets sdk.PacketReader, w *sdk.Writer, body body) error {
	for {
		ds, err := packets.ReadBatch(ctx)
		if errors.Is(err, io.EOF) {
			return w.Flush(ctx)
		}
		if err != nil {
			return err
		}
		for _, d := range ds {
			if body.Fault == "dies" && string(d.Payload) == "die" {
				os.Exit(3)
			}
			rec := sdk.Record{Kind: sdk.KindOpaque, Received: d.Received, Payload: d.Payload}
			if _, err := w.Write(ctx, sdk.Connection{Remote: d.Remote, Interface: d.Interface}, []sdk.Record{rec}); err != nil {
				return err
			}
		}
	}
}

type keep struct{ plugin }

func (*keep) Describe(context.Context) (sdk.Info, error) {
	return sdk.Info{Kind: sdk.KindSink, Name: "keep", Version: "1.0.0", API: sdk.APIVersion, Schema: schemaOf()}, nil
}

func (*keep) Validate(context.Context, json.RawMessage) (sdk.Traits, []sdk.Problem, error) {
	return sdk.Traits{Protocol: "file", Delivery: "written"}, nil, nil
}

func (k *keep) Run(ctx context.Context, _ sdk.Network, in sdk.Outlet) error {
	setup, body := k.configured()
	if body.Fault == "hold" {
		if err := in.Hold(ctx, "it was told to"); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-k.draining:
		}
		return ctx.Err()
	}
	f, err := os.OpenFile(setup.Path(body.Path), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // each line is written already
	var dec sdk.Decoder
	for {
		d, err := in.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := writeLines(f, &dec, d); err != nil {
			return err
		}
		if err := in.Ack(ctx, d.Number); err != nil {
			return err
		}
	}
}

func writeLines(w io.Writer, dec *sdk.Decoder, d sdk.Delivery) error {
	if _, err := dec.Open(d.Data); err != nil {
		return err
	}
	for {
		var r sdk.Record
		more, err := dec.Next(&r)
		if err != nil || !more {
			return err
		}
		if _, err := fmt.Fprintf(w, "%s\n", r.Payload); err != nil {
			return err
		}
	}
}
