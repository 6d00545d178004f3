package console_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/internal/auditlog"
)

// fakeNode answers what a test puts in, and notes what it was asked.
type fakeNode struct {
	asked  any
	who    auditlog.Who
	answer error

	list     console.GapList
	report   []byte
	resend   console.Resend
	told     console.Explanation
	facts    []console.Fact
	taken    console.Acceptance
	state    console.TestState
	seen     console.TestReport
	evidence console.GuardReport
	guard    console.Guard
	let      console.Accepted
	waiting  chan struct{} // closed when Test waits for its context
}

func (n *fakeNode) Gaps(_ context.Context, q console.GapsQuery) (console.GapList, error) {
	n.asked = q
	return n.list, n.answer
}

func (n *fakeNode) GapReport(_ context.Context, link string) ([]byte, error) {
	n.asked = link
	return n.report, n.answer
}

func (n *fakeNode) Resend(_ context.Context, r console.ResendRequest) (console.Resend, error) {
	n.asked = r
	return n.resend, n.answer
}

func (n *fakeNode) Explain(_ context.Context, r console.ExplainRequest) (console.Explanation, error) {
	n.asked = r
	return n.told, n.answer
}

func (n *fakeNode) AcceptSender(_ context.Context, link, who string) (console.Acceptance, error) {
	n.asked = link + " by " + who
	return n.taken, n.answer
}

func (n *fakeNode) Doctor(_ context.Context, link string) ([]console.Fact, error) {
	n.asked = link
	return n.facts, n.answer
}

func (n *fakeNode) Test(ctx context.Context, r console.TestRequest) (console.TestState, error) {
	n.asked = r
	if n.waiting != nil {
		close(n.waiting)
		<-ctx.Done()
		return console.TestState{}, ctx.Err()
	}
	return n.state, n.answer
}

func (n *fakeNode) TestReport(_ context.Context, link string) (console.TestReport, error) {
	n.asked = link
	return n.seen, n.answer
}

func (n *fakeNode) GuardTest(_ context.Context, r console.GuardTestRequest) (console.GuardReport, error) {
	n.asked = r
	return n.evidence, n.answer
}

func (n *fakeNode) GuardReset(ctx context.Context, r console.GuardResetRequest) (console.Guard, error) {
	n.asked, n.who = r, console.WhoOf(ctx)
	return n.guard, n.answer
}

func (n *fakeNode) AcceptInterface(_ context.Context, r console.AcceptRequest) (console.Accepted, error) {
	n.asked = r
	return n.let, n.answer
}

// control serves a fake node and returns who asks it.
func control(t *testing.T, n *fakeNode) console.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), console.SocketName)
	s, err := console.Listen(t.Context(), path, sample, console.WithGaps(n), console.WithResends(n), console.WithLinkCare(n), console.WithLinkTests(n),
		console.WithGuard(n), console.WithInterfaces(n))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return console.Client{Path: path}
}

func TestEveryMethodCrossesTheSocket(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	n := &fakeNode{
		list:   console.GapList{Link: "l", Ranges: []console.GapRange{{Class: "bulk", First: 3, Last: 5, DeclaredAt: at}}, Totals: []console.GapTotals{{Class: "bulk"}}},
		report: []byte{0, 1, 2, 255}, resend: console.Resend{Link: "l", Batches: 3, RateBits: 1e6},
		told: console.Explanation{Link: "l", From: at, To: at}, facts: []console.Fact{{Name: "mtu", State: console.FactOK}},
		taken: console.Acceptance{Link: "l", Floor: 9}, state: console.TestState{Link: "l", Seconds: 2}, seen: console.TestReport{Link: "l", Started: at},
		evidence: console.GuardReport{Node: "n", At: at, Guard: console.Guard{Interfaces: []console.Interface{}}, Mirrors: []console.Mirror{{Interface: "eno1", Unicast: 3}}},
		guard:    console.Guard{State: console.GuardOK, Interfaces: []console.Interface{}},
		let:      console.Accepted{Interface: console.Interface{Name: "eno4", Role: "service"}, Mirror: &console.Mirror{Verdict: console.MirrorUndecided}},
	}
	c := control(t, n)
	query := console.GapsQuery{Link: "l", Class: "critical", All: true, Limit: 7}
	resend := console.ResendRequest{Link: "l", Ranges: "1-2", DryRun: true, Report: []byte("r")}
	test := console.TestRequest{Link: "l", RatesBits: []uint64{1, 2}, EachSeconds: 0.5}
	for _, x := range []struct {
		name string
		call func(context.Context) (any, error)
		want any
		asks any // nil: checked below, because it holds who asked
	}{
		{"gaps", func(ctx context.Context) (any, error) { return c.Gaps(ctx, query) }, n.list, query},
		{"report", func(ctx context.Context) (any, error) { return c.GapReport(ctx, "l") }, n.report, "l"},
		{"resend", func(ctx context.Context) (any, error) { return c.Resend(ctx, resend) }, n.resend, nil},
		{"explain", func(ctx context.Context) (any, error) {
			return c.Explain(ctx, console.ExplainRequest{Link: "l", Ranges: "3"})
		}, n.told, console.ExplainRequest{Link: "l", Ranges: "3"}},
		{"accept", func(ctx context.Context) (any, error) { return c.AcceptSender(ctx, "l") }, n.taken, nil},
		{"doctor", func(ctx context.Context) (any, error) { return c.Doctor(ctx, "") }, n.facts, ""},
		{"test", func(ctx context.Context) (any, error) { return c.Test(ctx, test) }, n.state, nil},
		{"guard test", func(ctx context.Context) (any, error) {
			return c.GuardTest(ctx, console.GuardTestRequest{Watch: true})
		}, n.evidence, console.GuardTestRequest{Watch: true}},
		{"guard reset", func(ctx context.Context) (any, error) {
			return c.GuardReset(ctx, console.GuardResetRequest{Reason: "CR-2231"})
		}, n.guard, console.GuardResetRequest{Reason: "CR-2231"}},
		{"accept interface", func(ctx context.Context) (any, error) {
			return c.AcceptInterface(ctx, console.AcceptRequest{Name: "eno4", Force: true})
		}, n.let, console.AcceptRequest{Name: "eno4", Force: true}},
		{"test report", func(ctx context.Context) (any, error) { return c.TestReport(ctx, "l") }, n.seen, "l"},
	} {
		got, err := x.call(t.Context())
		if err != nil || !reflect.DeepEqual(got, x.want) {
			t.Errorf("%s: %v: %+v, want %+v", x.name, err, got, x.want)
		}
		if x.asks != nil && !reflect.DeepEqual(n.asked, x.asks) {
			t.Errorf("%s: asked %+v, want %+v", x.name, n.asked, x.asks)
		}
	}
}

// What changes something is recorded with who asked for it: the kernel says who.
func TestTheNodeIsToldWhoAsks(t *testing.T) {
	n := &fakeNode{}
	c := control(t, n)
	if _, err := c.Resend(t.Context(), console.ResendRequest{Link: "l", Who: "somebody else"}); err != nil {
		t.Fatal(err)
	}
	if who := n.asked.(console.ResendRequest).Who; !strings.Contains(who, "uid ") || !strings.Contains(who, "pid ") {
		t.Errorf("resend by %q", who)
	}
	if _, err := c.AcceptSender(t.Context(), "l"); err != nil {
		t.Fatal(err)
	}
	if asked := n.asked.(string); !strings.HasPrefix(asked, "l by ") || !strings.Contains(asked, "uid ") {
		t.Errorf("accepted for %q", asked)
	}
}

// What changes the guard is asked for by somebody, with a reason.
func TestTheGuardIsToldWhoAndWhy(t *testing.T) {
	n := &fakeNode{}
	c := control(t, n)
	if _, err := c.GuardReset(t.Context(), console.GuardResetRequest{Reason: "CR-2231"}); err != nil {
		t.Fatal(err)
	}
	if r := n.asked.(console.GuardResetRequest); r.Reason != "CR-2231" || n.who.UID != int64(os.Getuid()) || n.who.PID != os.Getpid() {
		t.Errorf("%+v by %+v", r, n.who)
	}
	var refusal *console.Error
	if _, err := c.GuardReset(t.Context(), console.GuardResetRequest{Reason: " "}); !errors.As(err, &refusal) || refusal.Code != console.CodeBadRequest {
		t.Error(err)
	}
	if _, err := c.AcceptInterface(t.Context(), console.AcceptRequest{}); !errors.As(err, &refusal) || refusal.Code != console.CodeBadRequest {
		t.Error(err)
	}
	if who := console.WhoOf(t.Context()); who.UID != auditlog.Nobody {
		t.Errorf("%+v", who)
	}
}

func TestErrorsCrossTheSocket(t *testing.T) {
	for _, want := range []*console.Error{
		console.OtherSide("plant-to-dmz", "ends", "gw-plant"),
		console.NoLink("plant", "gw-dmz", []string{"z", "plant-to-dmz"}),
		console.Errorf(console.CodeRefused, "report: it is of link %q", "x"),
		console.Errorf(console.CodeNotNow, "a test runs"),
	} {
		n := &fakeNode{answer: want}
		_, err := control(t, n).Resend(t.Context(), console.ResendRequest{Link: "plant-to-dmz"})
		var got *console.Error
		if !errors.As(err, &got) || *got != *want {
			t.Errorf("%v, want %v", err, want)
		}
	}
	if e := console.OtherSide("plant-to-dmz", "ends", "gw-plant"); e.Error() != "plant-to-dmz ends here: run this on gw-plant" {
		t.Error(e)
	}
	if e := console.NoLink("plant", "gw-dmz", []string{"z", "plant-to-dmz"}); e.Error() != `node gw-dmz has no link "plant": it has plant-to-dmz, z` {
		t.Error(e)
	}
	_, err := control(t, &fakeNode{answer: errors.New("disk on fire")}).Doctor(t.Context(), "l")
	var got *console.Error
	if !errors.As(err, &got) || got.Code != console.CodeInternal || got.Text != "disk on fire" {
		t.Errorf("%v", err)
	}
}

func TestANodeThatOffersNothingSaysSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), console.SocketName)
	serve(t, path, sample())
	_, err := console.Client{Path: path}.Gaps(t.Context(), console.GapsQuery{Link: "l"})
	if err == nil || !strings.Contains(err.Error(), "does not offer") {
		t.Error(err)
	}
}

// A test takes as long as it takes: the end of the node, or of who asked, ends it.
func TestALongCallEndsWithTheNode(t *testing.T) {
	n := &fakeNode{waiting: make(chan struct{})}
	path := filepath.Join(t.TempDir(), console.SocketName)
	s, err := console.Listen(t.Context(), path, sample, console.WithLinkTests(n))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done, called := make(chan error, 1), make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	go func() {
		_, err := console.Client{Path: path}.Test(t.Context(), console.TestRequest{Link: "l"})
		called <- err
	}()
	<-n.waiting
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := <-called; err == nil {
		t.Error("the test ended well")
	}
}

func TestALongCallEndsWithWhoAsked(t *testing.T) {
	n := &fakeNode{waiting: make(chan struct{})}
	c := control(t, n)
	ctx, cancel := context.WithCancel(t.Context())
	called := make(chan error, 1)
	go func() {
		_, err := c.Test(ctx, console.TestRequest{Link: "l"})
		called <- err
	}()
	<-n.waiting
	cancel()
	if err := <-called; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A word that this version does not know could have been the one that says "do not do it yet".
func TestRequestsAreReadStrictly(t *testing.T) {
	n := &fakeNode{}
	c := control(t, n)
	h := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", c.Path)
	}}}
	for body, want := range map[string]int{
		`{"link":"l","ranges":"1"}`:          http.StatusOK,
		`{"link":"l","rehearse":true}`:       http.StatusBadRequest,
		`{"link":"l"}{"link":"m"}`:           http.StatusBadRequest,
		`{"link":`:                           http.StatusBadRequest,
		`[]`:                                 http.StatusBadRequest,
		``:                                   http.StatusBadRequest,
		`{"link":"l","Who":"somebody else"}`: http.StatusBadRequest,
		strings.Repeat(`[`, 100_000) + strings.Repeat(`]`, 100_000): http.StatusBadRequest,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://node/v1/resend", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := h.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%.60q: %s, want %d", body, res.Status, want)
		}
	}
}
