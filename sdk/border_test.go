package sdk_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/sluice-gateway/sluice/sdk"
)

// border serves a plugin over gRPC in memory and returns the core's view of it.
func border(t testing.TB, p sdk.Plugin, kind string) sdk.Plugin {
	t.Helper()
	server := grpc.NewServer(append(sdk.ServerOptions(), grpc.WaitForHandlers(true))...)
	if err := sdk.Register(server, p, nil, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	lis := bufconn.Listen(1 << 20)
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(lis) })
	conn, err := grpc.NewClient("passthrough:///plugin", append(sdk.DialOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		wg.Wait()
	})
	c, err := sdk.NewClient(conn, kind)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// scripted is a plugin whose methods a test writes. Those that are nil do nothing.
type scripted struct {
	validate  func() ([]sdk.Problem, error)
	configure func(sdk.Setup) error
	drain     func(context.Context) error
}

func (scripted) Describe(context.Context) (sdk.Info, error) {
	return sdk.Info{Kind: "odd\xff", Name: "scripted", Version: "1", Schema: sdk.Schema{
		Attributes: []sdk.Attribute{{Name: "n", Type: sdk.TypeInt, Default: 5, Min: new(float64), Doc: "a number"}},
	}}, nil
}

func (s scripted) Validate(context.Context, json.RawMessage) (sdk.Traits, []sdk.Problem, error) {
	if s.validate == nil {
		return sdk.Traits{Protocol: "test"}, nil, nil
	}
	p, err := s.validate()
	return sdk.Traits{Protocol: "test"}, p, err
}

func (s scripted) Configure(_ context.Context, setup sdk.Setup) error {
	if s.configure == nil {
		return nil
	}
	return s.configure(setup)
}

func (s scripted) Drain(ctx context.Context) error {
	if s.drain == nil {
		return nil
	}
	return s.drain(ctx)
}

type scriptedReceiver struct {
	scripted
	run func(ctx context.Context, out sdk.Intake) error
}

func (s scriptedReceiver) Run(ctx context.Context, _ sdk.Network, out sdk.Intake) error {
	return s.run(ctx, out)
}

type scriptedSink struct {
	scripted
	run func(ctx context.Context, in sdk.Outlet) error
}

func (s scriptedSink) Run(ctx context.Context, _ sdk.Network, in sdk.Outlet) error {
	return s.run(ctx, in)
}

func receiver(t testing.TB, run func(ctx context.Context, out sdk.Intake) error) sdk.Receiver {
	t.Helper()
	c := border(t, scriptedReceiver{run: run}, sdk.KindReceiver).(sdk.Receiver)
	if err := c.Configure(t.Context(), sdk.Setup{Name: "tcp.test"}); err != nil {
		t.Fatal(err)
	}
	return c
}

func sink(t testing.TB, run func(ctx context.Context, in sdk.Outlet) error) sdk.Sink {
	t.Helper()
	c := border(t, scriptedSink{run: run}, sdk.KindSink).(sdk.Sink)
	if err := c.Configure(t.Context(), sdk.Setup{Name: "file.test"}); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheUnaryHalf(t *testing.T) {
	var got sdk.Setup
	deadline := make(chan time.Time, 1)
	c := border(t, scriptedReceiver{scripted: scripted{
		validate: func() ([]sdk.Problem, error) {
			return []sdk.Problem{{Path: []string{"tls", "\xff"}, Text: "bad \xff", Advice: "do"}}, nil
		},
		configure: func(s sdk.Setup) error { got = s; return nil },
		drain: func(ctx context.Context) error {
			d, _ := ctx.Deadline()
			deadline <- d
			return &sdk.Error{Code: sdk.CodeUnavailable, Detail: "busy", Retryable: true}
		},
	}}, sdk.KindReceiver)
	info, err := c.Describe(t.Context())
	if err != nil || info.Name != "scripted" || info.API != sdk.APIVersion || info.Kind != "odd\ufffd" || len(info.Schema.Attributes) != 1 {
		t.Errorf("%+v, %v", info, err)
	}
	_, problems, err := c.Validate(t.Context(), nil)
	if err != nil || len(problems) != 1 || problems[0].Error() != "tls.\ufffd: bad \ufffd" || problems[0].Advice != "do" {
		t.Errorf("%+v, %v", problems, err)
	}
	want := sdk.Setup{
		Name: "tcp.x", Stream: header().Stream, Config: json.RawMessage(`{"a":1}`), StateDir: "/s", RootDir: "/r",
		Compression: "zstd", Connect: []string{"192.0.2.1:1"},
		Certificates: map[string]sdk.Certificate{"web": {ChainPEM: []byte("c"), KeyPEM: []byte("k")}},
	}
	if err := c.Configure(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if got.Log == nil {
		t.Error("no logger")
	}
	got.Log = nil
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if err := c.Drain(ctx); sdk.CodeOf(err) != sdk.CodeUnavailable {
		t.Errorf("%v", err)
	}
	if d, _ := ctx.Deadline(); !(<-deadline).Equal(d) {
		t.Error("the plugin got another deadline")
	}
}

func TestAFailedConfigureMayBeTriedAgain(t *testing.T) {
	fail := true
	c := border(t, scriptedReceiver{scripted: scripted{configure: func(sdk.Setup) error {
		if fail {
			return &sdk.Error{Code: sdk.CodeConfig, Detail: "no", Path: []string{"a"}}
		}
		return nil
	}}, run: func(context.Context, sdk.Intake) error { return nil }}, sdk.KindReceiver).(sdk.Receiver)
	var e *sdk.Error
	if err := c.Configure(t.Context(), sdk.Setup{}); !errors.As(err, &e) || e.Code != sdk.CodeConfig || !slices.Equal(e.Path, []string{"a"}) {
		t.Errorf("%v", err)
	}
	if err := c.Run(t.Context(), nil, &spool{}); sdk.CodeOf(err) != sdk.CodeNotConfigured {
		t.Errorf("run: %v", err)
	}
	fail = false
	if err := c.Configure(t.Context(), sdk.Setup{}); err != nil {
		t.Error(err)
	}
	if err := c.Run(t.Context(), nil, &spool{}); err != nil {
		t.Errorf("run: %v", err)
	}
}

// TestAStreamCarriesBatches sends both classes, with losses, over the border.
func TestAStreamCarriesBatches(t *testing.T) {
	const writes = 400
	lost := &sdk.Error{Code: sdk.CodeDropped, Detail: "the spool is full"}
	s := &lossy{lost: lost}
	c := receiver(t, func(ctx context.Context, out sdk.Intake) error {
		var wg sync.WaitGroup
		defer wg.Wait()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		failed := 0
		for _, class := range []sdk.Class{sdk.ClassBulk, sdk.ClassCritical} {
			w, err := sdk.NewWriter(out, sdk.Setup{Name: "tcp.test"}, sdk.WriterOptions{Class: class, BatchBytes: 40 << 10, Linger: -1})
			if err != nil {
				return err
			}
			wg.Go(func() { _ = w.Run(ctx) })
			var tickets []*sdk.Ticket
			for range writes {
				ticket, err := w.Write(ctx, sdk.Connection{}, payloads(30<<10, "a"))
				if err != nil {
					return err
				}
				tickets = append(tickets, ticket)
			}
			for _, ticket := range tickets {
				if err := ticket.Wait(ctx); err != nil {
					if fmt.Sprint(err) != fmt.Sprint(lost) {
						return err
					}
					failed++
				}
			}
		}
		return fmt.Errorf("%d lost", failed)
	})
	err := c.Run(t.Context(), nil, s)
	if want := fmt.Sprintf("internal: %d lost", s.refused); err == nil || err.Error() != want {
		t.Errorf("Run: %v, want %s", err, want)
	}
	if s.kept+s.refused != 2*writes || s.refused == 0 || s.classes[sdk.ClassBulk] != writes || s.classes[sdk.ClassCritical] != writes {
		t.Errorf("%d kept, %d refused, %v", s.kept, s.refused, s.classes)
	}
}

// lossy refuses every seventh batch and decides in bursts of three.
type lossy struct {
	lost *sdk.Error

	mu            sync.Mutex // guards what follows
	n             int
	kept, refused int
	classes       map[sdk.Class]int
}

func (s *lossy) Deliver(_ context.Context, class sdk.Class, _ []byte, decided func(error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.classes == nil {
		s.classes = map[sdk.Class]int{}
	}
	s.classes[class]++
	s.n++
	if s.n%7 == 0 {
		s.refused++
		decided(s.lost)
		return nil
	}
	s.kept++
	decided(nil)
	return nil
}

// TestTheStreamOfAClassMayComeFirst: the streams of one Run reach the plugin in any order. The critical class must have
// a lane of its own every time.
func TestTheStreamOfAClassMayComeFirst(t *testing.T) {
	for range 50 {
		s := &spool{}
		arrived := make(chan struct{})
		c := receiver(t, func(ctx context.Context, out sdk.Intake) error {
			<-arrived
			for {
				decided := make(chan error, 1)
				raw, err := sdk.Encode(nil, header(), payloads(0, "a"))
				if err != nil {
					return err
				}
				if err := out.Deliver(ctx, sdk.ClassCritical, raw, func(err error) { decided <- err }); err != nil {
					return err
				}
				if err := <-decided; err != nil {
					return err
				}
				if s.critical() {
					return nil
				}
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		close(arrived)
		if err := c.Run(ctx, nil, s); err != nil {
			t.Errorf("the critical class has no lane: %v", err)
		}
		cancel()
	}
}

// TestABrokenLaneIsNotReplacedByAnother: a class whose stream the core has ended takes nothing more, and its batches do
// not turn up on the stream of another class, where their series is unknown.
func TestABrokenLaneIsNotReplacedByAnother(t *testing.T) {
	s := &onlyBulk{}
	c := receiver(t, func(ctx context.Context, out sdk.Intake) error {
		raw, err := sdk.Encode(nil, header(), payloads(0, "a"))
		if err != nil {
			return err
		}
		decided := make(chan error, 1)
		if err := out.Deliver(ctx, sdk.ClassCritical, raw, func(err error) { decided <- err }); err != nil {
			return err
		}
		if err := <-decided; sdk.CodeOf(err) != sdk.CodeGone {
			t.Errorf("the first batch is decided with %v", err)
		}
		if err := out.Deliver(ctx, sdk.ClassCritical, raw, func(error) {}); sdk.CodeOf(err) != sdk.CodeGone {
			t.Errorf("the second batch is delivered with %v", err)
		}
		return out.Deliver(ctx, sdk.ClassBulk, raw, func(err error) { decided <- err })
	})
	if err := c.Run(t.Context(), nil, s); err != nil {
		t.Error(err)
	}
	if n := s.critical.Load(); n != 1 {
		t.Errorf("%d critical batches reached the core", n)
	}
}

// onlyBulk refuses all other classes, which ends their streams.
type onlyBulk struct {
	critical atomic.Int64
}

func (s *onlyBulk) Deliver(_ context.Context, class sdk.Class, _ []byte, decided func(error)) error {
	if class != sdk.ClassBulk {
		s.critical.Add(1)
		return &sdk.Error{Code: sdk.CodeRefused, Detail: "only bulk"}
	}
	decided(nil)
	return nil
}

func TestARefusingCoreEndsTheReceiver(t *testing.T) {
	full := &sdk.Error{Code: sdk.CodeUnavailable, Detail: "closing"}
	got := make(chan error, 1)
	c := receiver(t, func(ctx context.Context, out sdk.Intake) error {
		w, err := sdk.NewWriter(out, sdk.Setup{Name: "x"}, sdk.WriterOptions{Linger: -1})
		if err != nil {
			return err
		}
		var wg sync.WaitGroup
		wg.Go(func() { _ = w.Run(ctx) })
		ticket, err := w.Write(ctx, sdk.Connection{}, payloads(0, "a"))
		if err == nil {
			err = ticket.Wait(context.Background())
		}
		got <- err
		wg.Wait()
		return err
	})
	if err := c.Run(t.Context(), nil, &spool{fail: full}); sdk.CodeOf(err) != sdk.CodeUnavailable {
		t.Errorf("Run: %v", err)
	}
	if err := <-got; sdk.CodeOf(err) != sdk.CodeGone {
		t.Errorf("the ticket: %v", err)
	}
}

// TestACoreThatTakesNothing: a Deliver that waits must obey the end of Run.
func TestACoreThatTakesNothing(t *testing.T) {
	ended := make(chan error, 1)
	c := receiver(t, func(ctx context.Context, out sdk.Intake) error {
		w, err := sdk.NewWriter(out, sdk.Setup{Name: "x"}, sdk.WriterOptions{})
		if err != nil {
			return err
		}
		var wg sync.WaitGroup
		wg.Go(func() { ended <- w.Run(ctx) })
		defer wg.Wait()
		for {
			if _, err := w.Write(ctx, sdk.Connection{}, payloads(100<<10, "a")); err != nil {
				return err
			}
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	s := &spool{gate: make(chan struct{})}
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx, nil, s) }()
	select {
	case s.gate <- struct{}{}: // the first batch arrives, the second blocks the core
	case <-time.After(10 * time.Second):
		t.Fatal("nothing arrived")
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
	if err := <-ended; err == nil {
		t.Error("the Writer did not end")
	}
}

// cursor is an Outlet that a test scripts.
type cursor struct {
	next func(ctx context.Context) (sdk.Delivery, error)

	mu       sync.Mutex // guards what follows
	acks     []uint64
	rejected []sdk.Rejection
	holds    []string
	fail     error
}

func (c *cursor) Next(ctx context.Context) (sdk.Delivery, error) { return c.next(ctx) }

func (c *cursor) Ack(_ context.Context, through uint64, rejected ...sdk.Rejection) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acks = append(c.acks, through)
	c.rejected = append(c.rejected, rejected...)
	return c.fail
}

func (c *cursor) Hold(_ context.Context, reason string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holds = append(c.holds, reason)
	return c.fail
}

// feed delivers n batches, then last.
func feed(n int, last error) func(context.Context) (sdk.Delivery, error) {
	i := 0
	return func(ctx context.Context) (sdk.Delivery, error) {
		if i++; i <= n {
			return sdk.Delivery{Number: uint64(i), Class: sdk.ClassCritical, Late: i == 2, Data: []byte{byte(i)}}, nil
		}
		if last != nil {
			return sdk.Delivery{}, last
		}
		<-ctx.Done()
		return sdk.Delivery{}, ctx.Err()
	}
}

func TestASinkOverTheBorder(t *testing.T) {
	c := sink(t, func(ctx context.Context, in sdk.Outlet) error {
		for i := byte(1); ; i++ {
			d, err := in.Next(ctx)
			if errors.Is(err, io.EOF) {
				return in.Hold(ctx, "")
			}
			if err != nil {
				return err
			}
			if d.Number != uint64(i) || d.Class != sdk.ClassCritical || d.Late != (i == 2) || d.Data[0] != i {
				return fmt.Errorf("delivery %+v", d)
			}
			if err := in.Hold(ctx, "slow \xff"); err != nil {
				return err
			}
			if err := in.Ack(ctx, d.Number, sdk.Rejection{Number: d.Number, Record: uint32(i)}); err != nil {
				return err
			}
		}
	})
	o := &cursor{next: feed(3, io.EOF)}
	if err := c.Run(t.Context(), nil, o); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(o.acks, []uint64{1, 2, 3}) || len(o.rejected) != 3 || o.rejected[1].Record != 2 || o.rejected[1].Err == nil {
		t.Errorf("acks %v, rejected %+v", o.acks, o.rejected)
	}
	if !slices.Equal(o.holds, []string{"slow \ufffd", "slow \ufffd", "slow \ufffd", ""}) {
		t.Errorf("holds %q", o.holds)
	}
}

func TestManyRejections(t *testing.T) {
	const many = 100_000
	c := sink(t, func(ctx context.Context, in sdk.Outlet) error {
		if _, err := in.Next(ctx); err != nil {
			return err
		}
		all := make([]sdk.Rejection, many)
		for i := range all {
			all[i] = sdk.Rejection{Number: 1, Record: uint32(i), Err: &sdk.Error{Code: sdk.CodeDropped, Detail: string(make([]byte, 300))}}
		}
		return in.Ack(ctx, 1, all...)
	})
	o := &cursor{next: feed(1, io.EOF)}
	if err := c.Run(t.Context(), nil, o); err != nil {
		t.Fatal(err)
	}
	if len(o.rejected) != many || o.rejected[many-1].Record != many-1 || o.acks[0] != 0 || o.acks[len(o.acks)-1] != 1 {
		t.Errorf("%d rejections, acks %v…", len(o.rejected), o.acks[:2])
	}
}

// TestWhatEndsASink: whichever side fails, Run returns with the cause and nothing hangs.
func TestWhatEndsASink(t *testing.T) {
	broken := errors.New("the spool is damaged")
	wait := func(ctx context.Context, _ sdk.Outlet) error { <-ctx.Done(); return ctx.Err() }
	ackTwo := func(ctx context.Context, in sdk.Outlet) error {
		if _, err := in.Next(ctx); err != nil {
			return err
		}
		if err := in.Ack(ctx, 2); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	}
	rejectTwo := func(ctx context.Context, in sdk.Outlet) error {
		if err := in.Ack(ctx, 0, sdk.Rejection{Number: 2}); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	}
	tests := []struct {
		name string
		run  func(context.Context, sdk.Outlet) error
		next func(context.Context) (sdk.Delivery, error)
		fail error
		want string
	}{
		{"the core's reader fails", wait, feed(1, broken), nil, "the spool is damaged"},
		{"the core's Ack fails", func(ctx context.Context, in sdk.Outlet) error { _ = in.Ack(ctx, 0); return wait(ctx, in) }, feed(0, nil), broken, "the spool is damaged"},
		{"the core's Hold fails", func(ctx context.Context, in sdk.Outlet) error { _ = in.Hold(ctx, "x"); return wait(ctx, in) }, feed(0, nil), broken, "the spool is damaged"},
		{"the sink fails", func(context.Context, sdk.Outlet) error { return &sdk.Error{Code: sdk.CodeUnavailable, Detail: "no"} }, feed(0, nil), nil, "unavailable: no"},
		{"it acknowledges the future", ackTwo, feed(1, nil), nil, "internal: the sink acknowledged delivery 2 of 1"},
		{"it rejects the future", rejectTwo, feed(0, nil), nil, "internal: the sink rejected a record of delivery 2 of 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := sink(t, tt.run)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := c.Run(ctx, nil, &cursor{next: tt.next, fail: tt.fail}); err == nil || err.Error() != tt.want {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}
