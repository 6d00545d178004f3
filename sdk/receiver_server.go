package sdk

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc"

	"github.com/sluice-gateway/sluice/sdk/proto"
)

// receiverServer runs a Receiver in the plugin process. The stream of class 0 carries Run; a further stream is a lane
// for its class.
type receiverServer struct {
	proto.UnimplementedReceiverServer
	receiver Receiver
	state    *lifecycle
	network  Network
}

type receiverStream = grpc.BidiStreamingServer[proto.FromCore, proto.Batch]

func (s *receiverServer) Run(stream receiverStream) error {
	first, err := stream.Recv()
	if err != nil {
		return toStatus(err)
	}
	open := first.GetOpen()
	if open == nil {
		return toStatus(&Error{Code: CodeRefused, Detail: "the first message of a stream must be open"})
	}
	l := newLane(open.GetCreditBytes(), stream.Send)
	go l.readAcks(stream) // ends with the stream, which ends when this handler returns
	if class := Class(open.GetClass()); class != ClassBulk {
		return s.lend(stream.Context(), class, l)
	}
	return toStatus(s.run(stream.Context(), l))
}

func (s *receiverServer) run(ctx context.Context, bulk *lane) error {
	ls := &lanes{over: make(chan struct{}), bulk: bulk, others: map[Class]*lane{}, added: make(chan struct{})}
	if err := s.state.start(ls); err != nil {
		return err
	}
	defer s.state.stop()
	defer ls.finish()
	return s.receiver.Run(ctx, s.network, ls)
}

// lend adds a lane to the Run in progress until that or the stream ends.
func (s *receiverServer) lend(ctx context.Context, class Class, l *lane) error {
	ls, err := s.state.running(ctx)
	if err != nil {
		return toStatus(err)
	}
	if !ls.add(class, l) {
		return toStatus(&Error{Code: CodeRefused, Detail: fmt.Sprintf("class %d has a stream", class)})
	}
	defer ls.end(class)
	select {
	case <-ls.over:
		return nil
	case <-ctx.Done():
		return toStatus(ctx.Err())
	}
}

func (l *lane) readAcks(stream receiverStream) {
	for {
		m, err := stream.Recv()
		if err != nil {
			l.end(&Error{Code: CodeGone, Detail: "the core has closed the stream", Retryable: true})
			return
		}
		ack := m.GetAck()
		if ack == nil {
			continue // a newer core's message
		}
		var outcome error
		if ack.GetError() != nil {
			outcome = errorFrom(ack.GetError())
		}
		l.acknowledge(ack.GetThrough(), outcome)
	}
}

// lanes is the Intake that a running Receiver sees.
type lanes struct {
	over chan struct{} // closed when Run has returned
	bulk *lane

	mu     sync.Mutex // guards what follows
	others map[Class]*lane
	added  chan struct{} // closed and replaced when a class gets its lane
}

// Deliver sends on the lane of the class. The core opens all lanes of a Run together; one that is still under way is
// waited for, since a batch belongs to the series of its class and no other lane takes it.
func (ls *lanes) Deliver(ctx context.Context, class Class, batch []byte, decided func(error)) error {
	l, err := ls.of(ctx, class)
	if err != nil {
		return err
	}
	return l.deliver(ctx, batch, decided)
}

func (ls *lanes) of(ctx context.Context, class Class) (*lane, error) {
	if class == ClassBulk {
		return ls.bulk, nil
	}
	for {
		ls.mu.Lock()
		l, added := ls.others[class], ls.added
		ls.mu.Unlock()
		if l != nil {
			return l, nil
		}
		select {
		case <-added:
		case <-ls.over:
			return nil, &Error{Code: CodeGone, Detail: "the receiver has stopped", Retryable: true}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// add returns false when the class has, or had, a lane in this Run.
func (ls *lanes) add(class Class, l *lane) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if _, ok := ls.others[class]; ok {
		return false
	}
	ls.others[class] = l
	close(ls.added)
	ls.added = make(chan struct{})
	return true
}

// end ends the lane of a class. It stays where it is, so that whoever sends on it hears that it has ended.
func (ls *lanes) end(class Class) {
	ls.mu.Lock()
	l := ls.others[class]
	ls.mu.Unlock()
	l.end(&Error{Code: CodeGone, Detail: "the stream has ended", Retryable: true})
}

func (ls *lanes) finish() {
	close(ls.over)
	ls.bulk.end(&Error{Code: CodeGone, Detail: "the receiver has stopped", Retryable: true})
}
