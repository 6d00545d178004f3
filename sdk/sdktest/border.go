package sdktest

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/control"
)

// pipeBytes is the buffer of the in-memory connection between the gRPC sides (ours).
const pipeBytes = 256 << 10

// border holds both sides of one plugin: the real gRPC client and server, and the real control socket.
type border struct {
	client  sdk.Plugin
	network *network
	tracked *tracked
	close   func()
}

// tracked notes when the plugin's own Run has returned, which the client's Run does not wait for.
type tracked struct {
	started chan struct{} // one entry per Run
	ended   chan error
}

func newTracked() *tracked {
	return &tracked{started: make(chan struct{}, 16), ended: make(chan error, 16)}
}

type trackedReceiver struct {
	sdk.Receiver
	*tracked
}

func (r trackedReceiver) Run(ctx context.Context, n sdk.Network, out sdk.Intake) error {
	r.started <- struct{}{}
	err := r.Receiver.Run(ctx, n, out)
	r.ended <- err
	return err
}

type trackedSink struct {
	sdk.Sink
	*tracked
}

func (s trackedSink) Run(ctx context.Context, n sdk.Network, in sdk.Outlet) error {
	s.started <- struct{}{}
	err := s.Sink.Run(ctx, n, in)
	s.ended <- err
	return err
}

// open connects a plugin. Everything is closed when the test ends.
func open(tb testing.TB, impl sdk.Plugin, kind string, o Options) *border {
	tb.Helper()
	b := &border{tracked: newTracked()}
	switch p := impl.(type) {
	case sdk.Receiver:
		impl = trackedReceiver{p, b.tracked}
	case sdk.Sink:
		impl = trackedSink{p, b.tracked}
	default:
		tb.Fatalf("%T is neither a receiver nor a sink", impl)
	}
	ours, theirs := controlPair(tb)
	b.network = newNetwork(ours, o)
	pluginNetwork, readControl := sdk.OpenNetwork(theirs)
	server := grpc.NewServer(append(sdk.ServerOptions(), grpc.WaitForHandlers(true))...)
	if err := sdk.Register(server, impl, pluginNetwork, slog.New(slog.NewTextHandler(testLog(tb), nil))); err != nil {
		tb.Fatal(err)
	}
	lis := bufconn.Listen(pipeBytes)
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(lis) })
	wg.Go(func() { _ = readControl() })
	wg.Go(b.network.run)
	conn := dial(tb, lis)
	var err error
	if b.client, err = sdk.NewClient(conn, kind, sdk.WithCredit(o.Credit)); err != nil {
		tb.Fatal(err)
	}
	b.close = sync.OnceFunc(func() {
		_ = conn.Close()
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			server.Stop()
			b.network.close()
			_ = theirs.Close()
			wg.Wait()
		}()
		select {
		case <-stopped:
		case <-time.After(promptly):
			tb.Errorf("the plugin did not end within %v", promptly)
		}
	})
	tb.Cleanup(b.close)
	return b
}

func controlPair(tb testing.TB) (ours, theirs *control.Socket) {
	tb.Helper()
	ours, file, err := control.Pair()
	if err != nil {
		tb.Fatal(err)
	}
	if theirs, err = control.Open(file); err != nil {
		tb.Fatal(err)
	}
	return ours, theirs
}

func dial(tb testing.TB, lis *bufconn.Listener) *grpc.ClientConn {
	tb.Helper()
	options := append(sdk.DialOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	conn, err := grpc.NewClient("passthrough:///plugin", options...)
	if err != nil {
		tb.Fatal(err)
	}
	return conn
}

// testLog shows a plugin's log with the test's output while the test runs.
func testLog(tb testing.TB) io.Writer {
	w := &logWriter{t: tb}
	tb.Cleanup(w.stop)
	return w
}

type logWriter struct {
	mu   sync.Mutex // guards over
	t    testing.TB
	over bool
}

func (w *logWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over { // t.Log after the test would panic
		w.t.Logf("plugin: %s", p)
	}
	return len(p), nil
}

func (w *logWriter) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
}

// runner owns one Run of the client.
type runner struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // valid when done is closed
}

func startRun(run func(context.Context) error) *runner {
	ctx, cancel := context.WithCancel(context.Background())
	r := &runner{cancel: cancel, done: make(chan struct{})}
	go func() { // wait is its owner
		defer close(r.done)
		r.err = run(ctx)
	}()
	return r
}

// begin starts a Run and waits until the plugin is in it, or it was refused.
func (b *border) begin(tb testing.TB, run func(context.Context) error) *runner {
	tb.Helper()
	r := startRun(run)
	tb.Cleanup(r.cancel)
	b.network.follow(r)
	select {
	case <-b.tracked.started:
		b.tracked.started <- struct{}{} // for wait
	case <-r.done:
	case <-time.After(patience):
		tb.Fatalf("Run did not start within %v", patience)
	}
	return r
}

// wait returns what the client's Run and the plugin's own Run returned.
func (b *border) wait(tb testing.TB, r *runner, within time.Duration) error {
	tb.Helper()
	limit := time.NewTimer(within)
	defer limit.Stop()
	select {
	case <-r.done:
	case <-limit.C:
		tb.Fatalf("Run did not return within %v", within)
	}
	select {
	case <-b.tracked.started:
	default:
		return r.err // refused before the plugin saw it
	}
	select {
	case <-b.tracked.ended: //nolint:errcheck // the error is in r.err
	case <-limit.C:
		tb.Fatalf("the plugin's Run did not return within %v", within)
	}
	return r.err
}
