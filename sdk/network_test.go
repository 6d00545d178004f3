package sdk_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/control"
	"github.com/sluice-gateway/sluice/sdk/proto"
)

const patience = 10 * time.Second

// core is the other end of a plugin's network, answered by a test.
type core struct {
	*control.Socket
	network sdk.Network
}

func newCore(t *testing.T) *core {
	t.Helper()
	ours, file, err := control.Pair()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := control.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	n, run := sdk.OpenNetwork(theirs)
	var wg sync.WaitGroup
	wg.Go(func() { _ = run() })
	t.Cleanup(func() {
		_ = ours.Close()
		wg.Wait()
		_ = theirs.Close()
	})
	return &core{Socket: ours, network: n}
}

// grant answers the next request, with f attached.
func (c *core) grant(t *testing.T, f *os.File, refusal *proto.Error) *proto.Control {
	t.Helper()
	m, _, err := c.Receive()
	if err != nil {
		t.Error(err)
		return nil
	}
	c.send(t, &proto.Control{Id: m.GetId(), Kind: &proto.Control_Result{Result: &proto.Result{Error: refusal}}}, f)
	return m
}

func (c *core) send(t *testing.T, m *proto.Control, f *os.File) {
	t.Helper()
	if err := c.Send(m, f, patience); err != nil {
		t.Error(err)
	}
}

func stream(t *testing.T) (*net.UnixConn, *os.File) {
	t.Helper()
	ours, theirs, err := control.StreamPair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = ours.Close()
		_ = theirs.Close()
	})
	return ours, theirs
}

func (c *core) connect(t *testing.T, remote string) *net.UnixConn {
	t.Helper()
	ours, theirs := stream(t)
	m := &proto.Connection{Remote: remote, Local: "192.0.2.254:6514", Interface: "eth-plant"}
	c.send(t, &proto.Control{Kind: &proto.Control_Connection{Connection: m}}, theirs)
	_ = theirs.Close()
	return ours
}

func (c *core) feed(t *testing.T, iface string) *net.UnixConn {
	t.Helper()
	ours, theirs := stream(t)
	c.send(t, &proto.Control{Kind: &proto.Control_Feed{Feed: &proto.Feed{Interface: iface}}}, theirs)
	_ = theirs.Close()
	return ours
}

func (c *core) listen(t *testing.T) net.Listener {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		if m := c.grant(t, nil, nil); m.GetListen().GetNetwork() != "tcp" {
			t.Errorf("asked for %v", m)
		}
	})
	l, err := c.network.Listener(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	return l
}

func (c *core) packets(t *testing.T) sdk.PacketReader {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() { c.grant(t, nil, nil) })
	p, err := c.network.Packets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	return p
}

func eof(t *testing.T, c *net.UnixConn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if n, err := c.Read(make([]byte, 1)); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) || err == nil {
		t.Errorf("the plugin's end is still open: %d, %v", n, err)
	}
}

func TestAListenerLooksLikeTheRealOne(t *testing.T) {
	c := newCore(t)
	l := c.listen(t)
	far := c.connect(t, "192.0.2.7:4711")
	near, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if near.RemoteAddr().String() != "192.0.2.7:4711" || near.LocalAddr().String() != "192.0.2.254:6514" {
		t.Errorf("%v to %v", near.RemoteAddr(), near.LocalAddr())
	}
	want := sdk.Connection{Remote: netip.MustParseAddrPort("192.0.2.7:4711"), Interface: "eth-plant"}
	if got := sdk.ConnectionOf(near); got != want {
		t.Errorf("%+v", got)
	}
	if got := sdk.ConnectionOf(tls.Server(near, nil)); got != want {
		t.Errorf("behind TLS: %+v", got)
	}
	go func() { _, _ = near.Write([]byte("hi")); _ = near.Close() }()
	if got, err := io.ReadAll(far); err != nil || string(got) != "hi" {
		t.Errorf("%q, %v", got, err)
	}
	if got := sdk.ConnectionOf(far); got.Remote.IsValid() {
		t.Errorf("a foreign connection: %+v", got)
	}
}

func TestClosingAListener(t *testing.T) {
	c := newCore(t)
	l := c.listen(t)
	waiting := c.connect(t, "192.0.2.7:1")
	accepted := make(chan error, 1)
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close() //nolint:errcheck // test
	go func() {
		_, err := l.Accept()
		accepted <- err
	}()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	eof(t, c.connect(t, "192.0.2.7:2"))
	if _, err := waiting.Write([]byte("x")); err != nil {
		t.Errorf("a connection accepted before has ended: %v", err)
	}
	// A second Listener takes its place.
	again := c.listen(t)
	c.connect(t, "192.0.2.7:3")
	near, err := again.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = near.Close()
}

func TestUnacceptedConnectionsAreClosed(t *testing.T) {
	c := newCore(t)
	l := c.listen(t)
	var far []*net.UnixConn
	for i := range 20 {
		far = append(far, c.connect(t, fmt.Sprintf("192.0.2.7:%d", i+1)))
	}
	_ = l.Close()
	for _, f := range far {
		eof(t, f)
	}
}

func TestWhatWasNotAskedForIsClosed(t *testing.T) {
	c := newCore(t)
	eof(t, c.connect(t, "192.0.2.7:1"))
	eof(t, c.feed(t, "eth0"))
	ours, theirs := stream(t)
	c.send(t, &proto.Control{Id: 99, Kind: &proto.Control_Result{Result: &proto.Result{}}}, theirs)
	_ = theirs.Close()
	eof(t, ours)
	ours, theirs = stream(t)
	c.send(t, &proto.Control{Id: 99}, theirs) // a newer core's message
	_ = theirs.Close()
	eof(t, ours)
}

func TestRequestsAreRefused(t *testing.T) {
	c := newCore(t)
	refusal := &proto.Error{Code: string(sdk.CodeRefused), Detail: "not in connect"}
	calls := map[string]func() error{
		"listen tcp":            func() error { _, err := c.network.Listener(t.Context()); return err },
		"listen udp":            func() error { _, err := c.network.Packets(t.Context()); return err },
		"dial tcp 192.0.2.1:5":  func() error { _, err := c.network.Dial(t.Context(), "192.0.2.1:5"); return err },
		"dial udp plc.example:": func() error { _, err := c.network.DialPacket(t.Context(), "plc.example:5"); return err },
	}
	for name, call := range calls {
		var wg sync.WaitGroup
		ours, theirs := stream(t)
		wg.Go(func() { c.grant(t, theirs, refusal) }) // with a descriptor that must not stay open
		err := call()
		wg.Wait()
		_ = theirs.Close()
		if sdk.CodeOf(err) != sdk.CodeRefused || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		eof(t, ours)
	}
}

func TestADialGivenUp(t *testing.T) {
	c := newCore(t)
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 1)
	go func() {
		_, err := c.network.Dial(ctx, "192.0.2.1:5")
		got <- err
	}()
	m, _, err := c.Receive()
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	ours, theirs := stream(t)
	c.send(t, &proto.Control{Id: m.GetId(), Kind: &proto.Control_Result{Result: &proto.Result{}}}, theirs)
	_ = theirs.Close()
	eof(t, ours)
}

func TestAGrantWithoutASocket(t *testing.T) {
	c := newCore(t)
	go c.grant(t, nil, nil)
	if _, err := c.network.Dial(t.Context(), "192.0.2.1:5"); sdk.CodeOf(err) != sdk.CodeInternal {
		t.Errorf("%v", err)
	}
}

func TestTheCoreGoes(t *testing.T) {
	c := newCore(t)
	l, p := c.listen(t), c.packets(t)
	ended := make(chan error, 3)
	go func() { _, err := l.Accept(); ended <- err }()
	go func() { _, err := p.ReadBatch(t.Context()); ended <- err }()
	go func() { _, err := c.network.Dial(t.Context(), "192.0.2.1:5"); ended <- err }()
	if _, _, err := c.Receive(); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	for range 3 {
		if err := <-ended; !errors.Is(err, net.ErrClosed) && sdk.CodeOf(err) != sdk.CodeGone {
			t.Errorf("%v", err)
		}
	}
	if _, err := c.network.Dial(t.Context(), "192.0.2.1:5"); sdk.CodeOf(err) != sdk.CodeGone {
		t.Errorf("afterwards: %v", err)
	}
}

// frame is a feed frame of n datagrams, numbered from first.
func frame(first, n int) []byte {
	b := make([]byte, control.FrameHeader)
	for i := range n {
		b = control.AppendDatagram(b, netip.MustParseAddrPort("192.0.2.7:514"), int64(first+i), fmt.Append(nil, first+i))
	}
	control.PutLength(b)
	return b
}

func TestPacketsOfSeveralFeeds(t *testing.T) {
	c := newCore(t)
	p := c.packets(t)
	feeds := []string{"eth0", "eth1", "eth2"}
	for _, iface := range feeds {
		u := c.feed(t, iface)
		go func() {
			for i := range 100 {
				_, _ = u.Write(frame(i*10, 10))
			}
		}()
	}
	next := map[string]int{}
	for got := 0; got < 3000; {
		grams, err := p.ReadBatch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range grams {
			if string(g.Payload) != fmt.Sprint(next[g.Interface]) || g.Received.UnixNano() != int64(next[g.Interface]) {
				t.Fatalf("%s: %q, want %d", g.Interface, g.Payload, next[g.Interface])
			}
			next[g.Interface]++
			got++
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.ReadBatch(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	eof(t, c.feed(t, "eth3"))
}

// TestFinishLosesNothing: what the core has handed over is read to its end, and the core learns what was not.
func TestFinishLosesNothing(t *testing.T) {
	c := newCore(t)
	p := c.packets(t)
	u := c.feed(t, "eth0")
	written := make(chan int, 1)
	go func() {
		n := 0
		for ; ; n++ {
			b := frame(n, 1)
			if m, err := u.Write(b); err != nil || m < len(b) {
				break // a frame that is not whole is still the core's
			}
		}
		written <- n
	}()
	read := 0
	for finished := false; ; {
		grams, err := p.ReadBatch(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		read += len(grams)
		if read > 50 && !finished {
			p.Finish()
			p.Finish()
			finished = true
		}
	}
	if n := <-written; n != read {
		t.Errorf("%d datagrams handed over, %d read", n, read)
	}
	if _, err := p.ReadBatch(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("again: %v", err)
	}
	eof(t, c.feed(t, "eth1"))
	_ = p.Close()
}

func TestFinishWithoutFeeds(t *testing.T) {
	p := newCore(t).packets(t)
	p.Finish()
	if _, err := p.ReadBatch(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
	_ = p.Close()
}

func TestReadBatchObeysItsContext(t *testing.T) {
	p := newCore(t).packets(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := p.ReadBatch(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestMalformedFrames(t *testing.T) {
	c := newCore(t)
	p := c.packets(t)
	good := frame(0, 1)
	huge := binary.LittleEndian.AppendUint32(nil, control.MaxFrame)
	noise := []byte{3, 0, 0, 0, 9, 9, 9}
	for _, b := range [][]byte{huge, noise, good[:len(good)-1]} {
		u := c.feed(t, "eth0")
		if _, err := u.Write(b); err != nil {
			t.Fatal(err)
		}
		_ = u.CloseWrite()
		eof(t, u)
	}
	u := c.feed(t, "eth0")
	for range 2 { // an empty frame says nothing
		if _, err := u.Write([]byte{0, 0, 0, 0}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := u.Write(good); err != nil {
		t.Fatal(err)
	}
	if grams, err := p.ReadBatch(t.Context()); err != nil || len(grams) != 1 {
		t.Errorf("a good feed after bad ones: %d, %v", len(grams), err)
	}
	_ = p.Close()
}

// sender dials and returns the core's end of the sender's socket.
func sender(t *testing.T) (sdk.PacketSender, *net.UnixConn) {
	t.Helper()
	c := newCore(t)
	ours, theirs := stream(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		if m := c.grant(t, theirs, nil); m.GetDial().GetNetwork() != "udp" || m.GetDial().GetAddress() != "192.0.2.1:5" {
			t.Errorf("%v", m)
		}
		_ = theirs.Close()
	})
	s, err := c.network.DialPacket(t.Context(), "192.0.2.1:5")
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	t.Cleanup(func() { _ = s.Close() })
	return s, ours
}

// request reads one send request and returns its payloads.
func request(t *testing.T, u *net.UnixConn) [][]byte {
	t.Helper()
	head := make([]byte, control.FrameHeader)
	if _, err := io.ReadFull(u, head); err != nil {
		t.Error(err)
		return nil
	}
	b := make([]byte, binary.LittleEndian.Uint32(head))
	if _, err := io.ReadFull(u, b); err != nil {
		t.Error(err)
	}
	var all [][]byte
	for len(b) > 0 {
		payload, rest, err := control.NextPayload(b)
		if err != nil {
			t.Error(err)
			return all
		}
		all, b = append(all, payload), rest
	}
	return all
}

func answer(t *testing.T, u *net.UnixConn, a control.Answer) {
	t.Helper()
	if _, err := u.Write(a.Append(nil)); err != nil {
		t.Error(err)
	}
}

func TestSendSplitsAndCounts(t *testing.T) {
	s, u := sender(t)
	grams := make([][]byte, 10)
	for i := range grams {
		grams[i] = make([]byte, 60_000)
	}
	requests := make(chan []int, 1)
	go func() {
		var sizes []int
		for total := 0; total < len(grams); {
			n := len(request(t, u))
			sizes = append(sizes, n)
			total += n
			answer(t, u, control.Answer{Taken: uint32(n)})
		}
		requests <- sizes
	}()
	if n, err := s.Send(t.Context(), grams); n != 10 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if sizes := <-requests; fmt.Sprint(sizes) != "[4 4 2]" {
		t.Errorf("requests of %v datagrams", sizes)
	}
}

func TestSendReportsWhatTheSocketSays(t *testing.T) {
	s, u := sender(t)
	three := [][]byte{[]byte("a"), nil, []byte("c")}
	steps := []struct {
		grams  [][]byte
		answer control.Answer
		errno  error
	}{
		{three, control.Answer{Taken: 3}, nil},
		{three, control.Answer{Taken: 2}, nil},
		{three, control.Answer{Taken: 1, Errno: syscall.ECONNREFUSED}, syscall.ECONNREFUSED},
		{nil, control.Answer{Errno: syscall.EHOSTUNREACH}, syscall.EHOSTUNREACH},
		{nil, control.Answer{}, nil},
	}
	for i, step := range steps {
		var wg sync.WaitGroup
		wg.Go(func() {
			if got := request(t, u); len(got) != len(step.grams) {
				t.Errorf("step %d: %d payloads", i, len(got))
			}
			answer(t, u, step.answer)
		})
		n, err := s.Send(t.Context(), step.grams)
		wg.Wait()
		if n != int(step.answer.Taken) || !errors.Is(err, step.errno) {
			t.Errorf("step %d: %d, %v", i, n, err)
		}
	}
	if n, err := s.Send(t.Context(), [][]byte{make([]byte, control.MaxDatagram+1)}); n != 0 || sdk.CodeOf(err) != sdk.CodeTooLarge {
		t.Errorf("a datagram above 64 KiB: %d, %v", n, err)
	}
}

// TestABrokenExchangeEndsTheSender: a late answer must not be taken for that of the next request.
func TestABrokenExchangeEndsTheSender(t *testing.T) {
	s, u := sender(t)
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 1)
	go func() {
		_, err := s.Send(ctx, [][]byte{[]byte("a")})
		got <- err
	}()
	request(t, u)
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	_, _ = u.Write(control.Answer{Taken: 1}.Append(nil))
	var errno syscall.Errno
	if n, err := s.Send(t.Context(), [][]byte{[]byte("b")}); n != 0 || sdk.CodeOf(err) != sdk.CodeGone || errors.As(err, &errno) {
		t.Errorf("the next Send: %d, %v", n, err)
	}
}

func TestALyingAnswer(t *testing.T) {
	s, u := sender(t)
	go func() {
		request(t, u)
		_, _ = u.Write(control.Answer{Taken: 2}.Append(nil))
	}()
	if n, err := s.Send(t.Context(), [][]byte{[]byte("a")}); n != 0 || sdk.CodeOf(err) != sdk.CodeGone {
		t.Errorf("%d, %v", n, err)
	}
}
