package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"google.golang.org/grpc"

	"github.com/sluice-gateway/sluice/sdk/proto"
)

// sinkClient is a Sink in the core that stands for one in a plugin process.
type sinkClient struct {
	pluginClient
	rpc proto.SinkClient
}

type sinkClientStream = grpc.BidiStreamingClient[proto.ToSink, proto.FromSink]

// Run drives the plugin's Run: deliveries from in go out, acknowledgements come back to it. When in ends with io.EOF
// the plugin gets the chance to finish and acknowledge what it has.
func (c *sinkClient) Run(ctx context.Context, _ Network, in Outlet) error {
	streaming, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := c.rpc.Run(streaming)
	if err != nil {
		return ended(ctx, err)
	}
	if err := s.Send(&proto.ToSink{Kind: &proto.ToSink_Open{Open: &proto.OpenSink{}}}); err != nil && !errors.Is(err, io.EOF) {
		return ended(ctx, err)
	}
	run := &sinkRun{stream: s, in: in}
	fed := make(chan error, 1)
	go func() {
		err := run.feed(streaming)
		if err != nil {
			cancel() // the plugin must not wait for deliveries that never come
		}
		fed <- err
	}()
	err = run.read(streaming)
	cancel()
	if ferr := <-fed; ferr != nil && ctx.Err() == nil && !errors.Is(ferr, context.Canceled) {
		return ferr
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// sinkRun is one Run in progress.
type sinkRun struct {
	stream sinkClientStream
	in     Outlet
	sent   atomic.Uint64 // number of the newest delivery sent
}

func (r *sinkRun) feed(ctx context.Context) error {
	for {
		d, err := r.in.Next(ctx)
		if errors.Is(err, io.EOF) {
			return r.stream.CloseSend()
		}
		if err != nil {
			return err
		}
		r.sent.Store(d.Number)
		m := &proto.Delivery{Number: d.Number, Class: uint32(d.Class), Late: d.Late, Data: d.Data}
		if err := r.stream.Send(&proto.ToSink{Kind: &proto.ToSink_Delivery{Delivery: m}}); err != nil {
			return nil //nolint:nilerr // Recv reports why the stream broke
		}
	}
}

func (r *sinkRun) read(ctx context.Context) error {
	for {
		m, err := r.stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fromStatus(err)
		}
		if st := m.GetState(); st != nil {
			if err := r.in.Hold(ctx, holdReason(st)); err != nil {
				return err
			}
			continue
		}
		if err := r.check(m); err != nil {
			return err
		}
		if err := r.in.Ack(ctx, m.GetThrough(), rejections(m)...); err != nil {
			return err
		}
	}
}

// maxRejections is how many records one message may reject (ours: more than a batch of 1 MiB holds in practice, and what
// the core keeps of them stays below a few tens of MiB).
const maxRejections = 1 << 16

// check refuses acknowledgements of what was never delivered: a plugin must not move a cursor past its reader.
func (r *sinkRun) check(m *proto.FromSink) error {
	sent := r.sent.Load()
	if m.GetThrough() > sent {
		return &Error{Code: CodeInternal, Detail: fmt.Sprintf("the sink acknowledged delivery %d of %d", m.GetThrough(), sent)}
	}
	if n := len(m.GetRejections()); n > maxRejections {
		return &Error{Code: CodeInternal, Detail: fmt.Sprintf("the sink rejected %d records in one message, at most %d are taken", n, maxRejections)}
	}
	for _, j := range m.GetRejections() {
		if j.GetNumber() == 0 || j.GetNumber() > sent {
			return &Error{Code: CodeInternal, Detail: fmt.Sprintf("the sink rejected a record of delivery %d of %d", j.GetNumber(), sent)}
		}
	}
	return nil
}

func holdReason(st *proto.SinkState) string {
	if !st.GetHolding() {
		return ""
	}
	if st.GetReason() == "" {
		return "holding"
	}
	return text(st.GetReason())
}

func rejections(m *proto.FromSink) []Rejection {
	out := make([]Rejection, 0, len(m.GetRejections()))
	for _, r := range m.GetRejections() {
		out = append(out, Rejection{Number: r.GetNumber(), Record: r.GetRecord(), Err: errorFrom(r.GetError())})
	}
	return out
}
