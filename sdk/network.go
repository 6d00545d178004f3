package sdk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/sdk/control"
	"github.com/sluice-gateway/sluice/sdk/proto"
)

const (
	requestPatience = 5 * time.Second // for the core to read a request (ours)
	acceptBacklog   = 128             // connections handed over and not yet accepted; the core's side times out behind it
)

// network is the plugin's end of the control socket.
//
//	Run: Receive ─┬─ Result ─────► the Listen or Dial that waits for it
//	              ├─ Connection ─► listener ─► Accept
//	              └─ Feed ───────► packetReader
type network struct {
	sock *control.Socket

	mu       sync.Mutex // guards what follows
	next     uint64
	waiting  map[uint64]chan result
	listener *listener
	packets  *packetReader
	ended    error
}

type result struct {
	err  error
	file *os.File
}

func newNetwork(sock *control.Socket) *network {
	return &network{sock: sock, waiting: map[uint64]chan result{}}
}

// run reads the control socket until it ends, which is when the core has gone.
func (n *network) run() error {
	for {
		m, f, err := n.sock.Receive()
		if errors.Is(err, control.ErrTruncated) {
			n.truncated(m)
			continue
		}
		if err != nil {
			n.end(err)
			return err
		}
		n.dispatch(m, f)
	}
}

// truncated handles a message whose descriptor got lost at this process's limit of open files. The core sees its end of
// a connection or feed close and counts it; a request must not wait for ever.
func (n *network) truncated(m *proto.Control) {
	if m.GetResult() != nil {
		e := &Error{Code: CodeUnavailable, Detail: control.ErrTruncated.Error(), Retryable: true}
		n.resolve(m.GetId(), &proto.Result{Error: errorMessage(e)}, nil)
	}
}

func (n *network) dispatch(m *proto.Control, f *os.File) {
	switch k := m.GetKind().(type) {
	case *proto.Control_Result:
		n.resolve(m.GetId(), k.Result, f)
	case *proto.Control_Connection:
		n.mu.Lock()
		l := n.listener
		n.mu.Unlock()
		l.offer(k.Connection, f)
	case *proto.Control_Feed:
		n.mu.Lock()
		p := n.packets
		n.mu.Unlock()
		p.offer(k.Feed, f)
	default:
		if f != nil {
			_ = f.Close() // a newer core's message
		}
	}
}

func (n *network) resolve(id uint64, r *proto.Result, f *os.File) {
	n.mu.Lock()
	ch, ok := n.waiting[id]
	delete(n.waiting, id)
	n.mu.Unlock()
	res := result{file: f}
	if r.GetError() != nil {
		res.err = errorFrom(r.GetError())
	}
	if !ok || res.err != nil {
		res.discard()
	}
	if ok {
		ch <- res // has room: whoever takes the channel out of the map answers it, once
	}
}

// discard closes a descriptor that nobody takes.
func (r *result) discard() {
	if r.file != nil {
		_ = r.file.Close()
		r.file = nil
	}
}

// request sends a request and waits for its result.
func (n *network) request(ctx context.Context, m *proto.Control) (*os.File, error) {
	ch := make(chan result, 1)
	n.mu.Lock()
	if n.ended != nil {
		defer n.mu.Unlock()
		return nil, n.ended
	}
	n.next++
	m.Id = n.next
	n.waiting[m.GetId()] = ch
	n.mu.Unlock()
	if err := n.sock.Send(m, nil, requestPatience); err != nil {
		n.forget(m.GetId(), ch)
		return nil, err
	}
	select {
	case r := <-ch:
		return r.file, r.err
	case <-ctx.Done():
		n.forget(m.GetId(), ch)
		return nil, ctx.Err()
	}
}

// forget gives up on a request. Its result may be on the way already.
func (n *network) forget(id uint64, ch chan result) {
	n.mu.Lock()
	_, waiting := n.waiting[id]
	delete(n.waiting, id)
	n.mu.Unlock()
	if !waiting {
		r := <-ch
		r.discard()
	}
}

func (n *network) end(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ended = &Error{Code: CodeGone, Detail: "the core has closed the control socket: " + err.Error()}
	for id, ch := range n.waiting {
		ch <- result{err: n.ended}
		delete(n.waiting, id)
	}
	n.listener.end()
	n.packets.end()
}

// Listener asks the core for the accepted connections of the block's port. It takes the place of an earlier one.
func (n *network) Listener(ctx context.Context) (net.Listener, error) {
	l := newListener()
	n.mu.Lock()
	n.listener.end()
	n.listener = l
	n.mu.Unlock()
	if err := n.listen(ctx, "tcp"); err != nil {
		l.end()
		return nil, err
	}
	return l, nil
}

// Packets asks the core for the datagrams of the block's port. It takes the place of an earlier one.
func (n *network) Packets(ctx context.Context) (PacketReader, error) {
	p := newPacketReader()
	n.mu.Lock()
	n.packets.end()
	n.packets = p
	n.mu.Unlock()
	if err := n.listen(ctx, "udp"); err != nil {
		p.end()
		return nil, err
	}
	return p, nil
}

func (n *network) listen(ctx context.Context, kind string) error {
	f, err := n.request(ctx, &proto.Control{Kind: &proto.Control_Listen{Listen: &proto.Listen{Network: kind}}})
	if f != nil {
		_ = f.Close() // connections and feeds come in messages of their own
	}
	if err != nil {
		return fmt.Errorf("listen %s: %w", kind, err)
	}
	return nil
}

// Dial asks the core for a TCP connection.
func (n *network) Dial(ctx context.Context, address string) (net.Conn, error) {
	u, err := n.dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	remote, _ := netip.ParseAddrPort(address)
	return &conn{UnixConn: u, from: Connection{Remote: remote}}, nil
}

// DialPacket asks the core for a connected UDP socket.
func (n *network) DialPacket(ctx context.Context, address string) (PacketSender, error) {
	u, err := n.dial(ctx, "udp", address)
	if err != nil {
		return nil, err
	}
	return &packetSender{conn: u}, nil
}

func (n *network) dial(ctx context.Context, kind, address string) (*net.UnixConn, error) {
	f, err := n.request(ctx, &proto.Control{Kind: &proto.Control_Dial{Dial: &proto.Dial{Network: kind, Address: address}}})
	if err != nil {
		return nil, fmt.Errorf("dial %s %s: %w", kind, address, err)
	}
	if f == nil {
		return nil, fmt.Errorf("dial %s %s: %w", kind, address, &Error{Code: CodeInternal, Detail: "granted without a socket"})
	}
	return control.Stream(f)
}

// noNetwork is what a plugin sees that nobody started.
type noNetwork struct{}

func (noNetwork) Listener(context.Context) (net.Listener, error)           { return nil, errNoCore }
func (noNetwork) Packets(context.Context) (PacketReader, error)            { return nil, errNoCore }
func (noNetwork) Dial(context.Context, string) (net.Conn, error)           { return nil, errNoCore }
func (noNetwork) DialPacket(context.Context, string) (PacketSender, error) { return nil, errNoCore }
