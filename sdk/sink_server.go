package sdk

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"

	"github.com/sluice-gateway/sluice/sdk/proto"
)

// sinkServer runs a Sink in the plugin process.
type sinkServer struct {
	proto.UnimplementedSinkServer
	sink    Sink
	state   *lifecycle
	network Network
}

type sinkStream = grpc.BidiStreamingServer[proto.ToSink, proto.FromSink]

func (s *sinkServer) Run(stream sinkStream) error {
	if err := s.state.start(&lanes{}); err != nil {
		return toStatus(err)
	}
	defer s.state.stop()
	o := &outlet{stream: stream, in: make(chan Delivery), ended: make(chan struct{})}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	go o.read(ctx) // ends with the stream, which ends when this handler returns
	return toStatus(s.sink.Run(ctx, s.network, o))
}

// outlet is the Outlet that a running Sink sees.
type outlet struct {
	stream sinkStream
	in     chan Delivery
	ended  chan struct{}
	err    error // valid when ended is closed

	mu      sync.Mutex // one Send at a time; guards what follows
	through uint64     // acknowledged so far
}

func (o *outlet) read(ctx context.Context) {
	defer close(o.ended)
	for {
		m, err := o.stream.Recv()
		if err != nil {
			o.err = streamEnd(err)
			return
		}
		d := m.GetDelivery()
		if d == nil {
			continue // open, or a newer core's message
		}
		select {
		case o.in <- Delivery{Number: d.GetNumber(), Class: Class(d.GetClass()), Late: d.GetLate(), Data: d.GetData()}:
		case <-ctx.Done():
			o.err = ctx.Err()
			return
		}
	}
}

// streamEnd tells an orderly end, after which a sink finishes what it has, from a broken stream.
func streamEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return fromStatus(err)
}

// Next returns io.EOF when the core will send nothing more.
func (o *outlet) Next(ctx context.Context) (Delivery, error) {
	select {
	case d := <-o.in:
		return d, nil
	case <-o.ended:
		return Delivery{}, o.err
	case <-ctx.Done():
		return Delivery{}, ctx.Err()
	}
}

// rejectionsPerMessage keeps a message far below maxMessageBytes: a rejection has at most maxDetail bytes of text and a
// batch can have a hundred thousand records.
const rejectionsPerMessage = 1000

// Ack sends a cumulative acknowledgement. Many rejections go ahead in messages that acknowledge nothing new.
func (o *outlet) Ack(_ context.Context, through uint64, rejected ...Rejection) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(rejected) > rejectionsPerMessage {
		if err := o.send(ackMessage(o.through, rejected[:rejectionsPerMessage])); err != nil {
			return err
		}
		rejected = rejected[rejectionsPerMessage:]
	}
	o.through = through
	return o.send(ackMessage(through, rejected))
}

func ackMessage(through uint64, rejected []Rejection) *proto.FromSink {
	m := &proto.FromSink{Through: through}
	for _, r := range rejected {
		m.Rejections = append(m.Rejections, &proto.Rejection{Number: r.Number, Record: r.Record, Error: errorMessage(r.Err)})
	}
	return m
}

// Hold reports the target's state.
func (o *outlet) Hold(_ context.Context, reason string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.send(&proto.FromSink{State: &proto.SinkState{Holding: reason != "", Reason: text(reason)}})
}

func (o *outlet) send(m *proto.FromSink) error { return fromStatus(o.stream.Send(m)) }
