package sdktest

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/control"
	"github.com/sluice-gateway/sluice/sdk/proto"
)

// acceptQueue bounds the connections that a plugin has dialled and the test has not taken (ours).
const acceptQueue = 64

var errNotAsked = &sdk.Error{Code: sdk.CodeRefused, Detail: "beyond what the block allows"}

// network is the core's side of the control socket.
type network struct {
	sock  *control.Socket
	ended chan struct{} // closed when run has returned
	wg    sync.WaitGroup

	mu      sync.Mutex // guards what follows
	allowed string     // what the plugin may listen on
	targets map[string]*target
	opened  map[string]chan struct{} // closed when the plugin listens on "tcp" or "udp"
	feeds   map[string]*net.UnixConn // by interface
	refused []string
	conns   []net.Conn // to close at the end
	running *runner    // the plugin's Run; nil before it
}

func newNetwork(sock *control.Socket, o Options) *network {
	n := &network{
		sock: sock, ended: make(chan struct{}), allowed: o.Network, targets: map[string]*target{}, feeds: map[string]*net.UnixConn{},
		opened: map[string]chan struct{}{"tcp": make(chan struct{}), "udp": make(chan struct{})},
	}
	for address, t := range o.Connect {
		n.targets[address] = &target{Target: t, accepted: make(chan net.Conn, acceptQueue)}
	}
	return n
}

func (n *network) allow(kind string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.allowed == "" {
		n.allowed = kind
	}
}

func (n *network) run() {
	defer close(n.ended)
	for {
		m, f, err := n.sock.Receive()
		if err != nil {
			return
		}
		if f != nil {
			_ = f.Close() // a plugin has no descriptors to hand over
		}
		n.answer(m)
	}
}

func (n *network) answer(m *proto.Control) {
	var file *os.File
	var err error
	switch k := m.GetKind().(type) {
	case *proto.Control_Listen:
		err = n.listen(k.Listen.GetNetwork())
	case *proto.Control_Dial:
		file, err = n.dial(k.Dial.GetNetwork(), k.Dial.GetAddress())
	default:
		return
	}
	result := &proto.Result{}
	if e, ok := errors.AsType[*sdk.Error](err); ok {
		result.Error = &proto.Error{Code: string(e.Code), Detail: e.Detail, Retryable: e.Retryable}
	}
	_ = n.sock.Send(&proto.Control{Id: m.GetId(), Kind: &proto.Control_Result{Result: result}}, file, patience)
	if file != nil {
		_ = file.Close()
	}
}

func (n *network) listen(kind string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if kind != n.allowed {
		n.refused = append(n.refused, "listen "+kind)
		return errNotAsked
	}
	select {
	case <-n.opened[kind]:
	default:
		close(n.opened[kind])
	}
	return nil
}

func (n *network) dial(kind, address string) (*os.File, error) {
	n.mu.Lock()
	t, ok := n.targets[address]
	if !ok || (kind != "tcp" && kind != "udp") {
		n.refused = append(n.refused, "dial "+kind+" "+address)
		n.mu.Unlock()
		return nil, errNotAsked
	}
	n.mu.Unlock()
	if t.Refuse != nil {
		return nil, t.Refuse
	}
	ours, theirs, err := n.stream()
	if err != nil {
		return nil, err
	}
	if kind == "udp" {
		n.wg.Go(func() { t.serve(ours) })
		return theirs, nil
	}
	if t.Discard {
		n.wg.Go(func() { _, _ = io.Copy(io.Discard, ours) })
		return theirs, nil
	}
	select {
	case t.accepted <- ours:
		return theirs, nil
	default:
		_ = theirs.Close()
		return nil, &sdk.Error{Code: sdk.CodeUnavailable, Detail: "the test takes no more connections", Retryable: true}
	}
}

// stream makes a socketpair whose near end is closed with the network.
func (n *network) stream() (*net.UnixConn, *os.File, error) {
	ours, theirs, err := control.StreamPair()
	if err != nil {
		return nil, nil, &sdk.Error{Code: sdk.CodeInternal, Detail: err.Error()}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns = append(n.conns, ours)
	return ours, theirs, nil
}

// follow notes the Run whose end ends all waiting.
func (n *network) follow(r *runner) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.running = r
}

// await blocks until the plugin listens.
func (n *network) await(t testing.TB, kind string) {
	t.Helper()
	n.mu.Lock()
	r := n.running
	n.mu.Unlock()
	select {
	case <-n.opened[kind]:
	case <-r.done:
		t.Fatalf("Run returned and the plugin did not listen on %s: %v", kind, r.err)
	case <-time.After(patience):
		t.Fatalf("the plugin did not listen on %s within %v", kind, patience)
	}
}

// connect hands the plugin a connection as if the core had accepted it.
func (n *network) connect(t testing.TB, remote netip.AddrPort, iface string) net.Conn {
	t.Helper()
	n.await(t, "tcp")
	ours, theirs, err := n.stream()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close() //nolint:errcheck // the plugin has its own descriptor
	m := &proto.Connection{Remote: remote.String(), Local: localAddr, Interface: iface}
	if err := n.sock.Send(&proto.Control{Kind: &proto.Control_Connection{Connection: m}}, theirs, patience); err != nil {
		t.Fatal(err)
	}
	return ours
}

// localAddr is where every connection arrived (RFC 5737: for documentation).
const localAddr = "192.0.2.254:6514"

// feed returns the socket on which the datagrams of an interface travel.
func (n *network) feed(t testing.TB, iface string) *net.UnixConn {
	t.Helper()
	n.await(t, "udp")
	n.mu.Lock()
	u, ok := n.feeds[iface]
	n.mu.Unlock()
	if ok {
		return u
	}
	ours, theirs, err := n.stream()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close() //nolint:errcheck // the plugin has its own descriptor
	m := &proto.Feed{Local: localAddr, Interface: iface}
	if err := n.sock.Send(&proto.Control{Kind: &proto.Control_Feed{Feed: m}}, theirs, patience); err != nil {
		t.Fatal(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.feeds[iface] = ours
	return ours
}

func (n *network) refusals() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.refused)
}

func (n *network) target(t testing.TB, address string) *target {
	t.Helper()
	g, ok := n.targets[address] // never written after newNetwork
	if !ok {
		t.Fatalf("%s is not in Options.Connect", address)
	}
	return g
}

func (n *network) close() {
	_ = n.sock.Close()
	<-n.ended // a dial that it still answers adds a connection and a goroutine
	n.mu.Lock()
	for _, c := range n.conns {
		_ = c.Close()
	}
	n.mu.Unlock()
	n.wg.Wait()
}

// closeFeeds ends the datagram feeds; the next datagram opens a new one.
func (n *network) closeFeeds() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, u := range n.feeds {
		_ = u.Close()
	}
	clear(n.feeds)
}
