package forward

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

// writeLimit is how long a target may take nothing before it is given up (ours).
const writeLimit = 10 * time.Second

// target is the connection that is kept between deliveries.
type target struct {
	network sdk.Network
	address string
	conn    net.Conn // nil = not connected
}

// Run delivers until the core sends nothing more, ctx ends or Drain has been called.
func (p *Plugin) Run(ctx context.Context, network sdk.Network, in sdk.Outlet) error {
	defer close(p.done)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		select {
		case <-p.draining:
			cancel()
		case <-ctx.Done():
		}
	})
	t := &target{network: network, address: p.setup.Connect[0]}
	defer t.close()
	err := p.deliverAll(ctx, t, in)
	select {
	case <-p.draining:
		return nil // that was asked for
	default:
		return err
	}
}

func (p *Plugin) deliverAll(ctx context.Context, t *target, in sdk.Outlet) error {
	var dec sdk.Decoder
	for {
		d, err := in.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		lines, rejected := encode(&dec, d)
		if err := p.deliver(ctx, t, in, lines); err != nil {
			return err
		}
		if err := in.Ack(ctx, d.Number, rejected...); err != nil {
			return err
		}
	}
}

// encode makes lines of a delivery. A record that holds a line break can never be delivered as one line, and what is
// behind damaged bytes cannot be read: both are rejected with the reason, and the stream goes on.
func encode(dec *sdk.Decoder, d sdk.Delivery) ([]byte, []sdk.Rejection) {
	var lines []byte
	var rejected []sdk.Rejection
	reject := func(record uint32, why string) {
		e := &sdk.Error{Code: sdk.CodeDropped, Detail: why}
		rejected = append(rejected, sdk.Rejection{Number: d.Number, Record: record, Err: e})
	}
	if _, err := dec.Open(d.Data); err != nil {
		reject(0, err.Error())
		return nil, rejected
	}
	var r sdk.Record
	for i := uint32(0); ; i++ {
		more, err := dec.Next(&r)
		switch {
		case err != nil:
			reject(i, err.Error())
			return lines, rejected
		case !more:
			return lines, rejected
		case bytes.IndexByte(r.Payload, '\n') >= 0:
			reject(i, "it holds a line break")
		default:
			lines = append(append(lines, r.Payload...), '\n')
		}
	}
}

// deliver writes until the target has taken everything, or ctx ends.
func (p *Plugin) deliver(ctx context.Context, t *target, in sdk.Outlet, lines []byte) error {
	holding := false
	for {
		err := t.write(ctx, lines)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		t.close()
		holding = true
		if err := in.Hold(ctx, err.Error()); err != nil {
			return err
		}
		select {
		case <-time.After(p.config.Retry):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if holding {
		return in.Hold(ctx, "")
	}
	return nil
}

func (t *target) write(ctx context.Context, lines []byte) error {
	if t.conn == nil {
		c, err := t.network.Dial(ctx, t.address)
		if err != nil {
			return err
		}
		t.conn = c
	}
	if err := t.conn.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, t.interrupt(t.conn))()
	_, err := t.conn.Write(lines)
	return err
}

// interrupt ends a Write of c that blocks.
func (*target) interrupt(c net.Conn) func() {
	return func() { _ = c.SetWriteDeadline(time.Unix(1, 0)) }
}

func (t *target) close() {
	if t.conn != nil {
		_ = t.conn.Close()
		t.conn = nil
	}
}
