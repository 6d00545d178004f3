package sdk

import (
	"context"
	"errors"
	"io"

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
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := c.rpc.Run(ctx)
	if err != nil {
		return fromStatus(err)
	}
	if err := s.Send(&proto.ToSink{Kind: &proto.ToSink_Open{Open: &proto.OpenSink{}}}); err != nil {
		return fromStatus(err)
	}
	fed := make(chan error, 1)
	go func() { fed <- feedSink(ctx, s, in) }()
	err = readSink(ctx, s, in)
	cancel()
	if ferr := <-fed; err == nil && ferr != nil && !errors.Is(ferr, context.Canceled) {
		err = ferr
	}
	return err
}

func feedSink(ctx context.Context, s sinkClientStream, in Outlet) error {
	for {
		d, err := in.Next(ctx)
		if errors.Is(err, io.EOF) {
			return s.CloseSend()
		}
		if err != nil {
			return err
		}
		m := &proto.Delivery{Number: d.Number, Class: uint32(d.Class), Late: d.Late, Data: d.Data}
		if err := s.Send(&proto.ToSink{Kind: &proto.ToSink_Delivery{Delivery: m}}); err != nil {
			return nil //nolint:nilerr // Recv reports why the stream broke
		}
	}
}

func readSink(ctx context.Context, s sinkClientStream, in Outlet) error {
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fromStatus(err)
		}
		if st := m.GetState(); st != nil {
			if err := in.Hold(ctx, holdReason(st)); err != nil {
				return err
			}
			continue
		}
		if err := in.Ack(ctx, m.GetThrough(), rejections(m)...); err != nil {
			return err
		}
	}
}

func holdReason(st *proto.SinkState) string {
	if !st.GetHolding() {
		return ""
	}
	if st.GetReason() == "" {
		return "holding"
	}
	return st.GetReason()
}

func rejections(m *proto.FromSink) []Rejection {
	out := make([]Rejection, 0, len(m.GetRejections()))
	for _, r := range m.GetRejections() {
		out = append(out, Rejection{Number: r.GetNumber(), Record: r.GetRecord(), Err: errorFrom(r.GetError())})
	}
	return out
}
