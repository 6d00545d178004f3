package script_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluice-gateway/sluice/gateway/console"
)

// fakeNode answers on a node's socket what a script has written down, so that every text of the command line can be
// compared, also those of states that are hard to get into.
type fakeNode struct {
	asked string // file that the newest request is written to

	mu      sync.Mutex // guards what follows
	answers answers
}

// answers is what a script writes down, by method.
type answers struct {
	Status     console.Status            `json:"status"`
	Gaps       console.GapList           `json:"gaps"`
	Report     []byte                    `json:"report"`
	Resend     console.Resend            `json:"resend"`
	Explain    console.Explanation       `json:"explain"`
	Accept     console.Acceptance        `json:"accept"`
	Doctor     []console.Fact            `json:"doctor"`
	Test       console.TestState         `json:"test"`
	TestReport console.TestReport        `json:"test_report"`
	GuardTest  console.GuardReport       `json:"guard_test"`
	GuardReset console.Guard             `json:"guard_reset"`
	Accepted   console.Accepted          `json:"accepted"`
	Errors     map[string]*console.Error `json:"errors"` // by method, instead
}

// startNode is the command `node STATE FILE`: a fake node answers what stands in FILE until the script ends.
func startNode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: node STATE FILE")
	}
	n := &fakeNode{asked: ts.MkAbs("asked")}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &n.answers))
	path := filepath.Join(args[0], n.answers.Status.Node, console.SocketName)
	ctx, cancel := context.WithCancel(context.Background())
	s, err := console.Listen(ctx, path, n.status, console.WithGaps(n), console.WithResends(n), console.WithLinkCare(n), console.WithLinkTests(n),
		console.WithGuard(n), console.WithInterfaces(n))
	if err != nil {
		cancel()
		ts.Fatalf("%v", err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	ts.Defer(func() {
		cancel()
		ts.Check(<-done)
	})
}

func (n *fakeNode) status() console.Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	// A copy: what is served must not change while it is written.
	b, _ := json.Marshal(n.answers.Status) // it was read from JSON
	var st console.Status
	_ = json.Unmarshal(b, &st)
	return st
}

// noted writes a request down and returns the error that stands for its method.
func (n *fakeNode) noted(method string, request any) error {
	b, err := json.Marshal(map[string]any{method: request})
	if err != nil {
		return err
	}
	if err := os.WriteFile(n.asked, append(b, '\n'), 0o600); err != nil {
		return err
	}
	if e := n.answers.Errors[method]; e != nil {
		return e
	}
	return nil
}

func (n *fakeNode) Gaps(_ context.Context, q console.GapsQuery) (console.GapList, error) {
	return n.answers.Gaps, n.noted("gaps", q)
}

func (n *fakeNode) GapReport(_ context.Context, link string) ([]byte, error) {
	return n.answers.Report, n.noted("report", link)
}

// Resend also counts what it was asked for, as if it had been sent at once.
func (n *fakeNode) Resend(_ context.Context, r console.ResendRequest) (console.Resend, error) {
	err := n.noted("resend", r)
	answer := n.answers.Resend
	answer.DryRun = r.DryRun
	if err != nil || r.DryRun {
		return answer, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.answers.Status.Links {
		if l.Send != nil {
			l.Send.Resend.Sent += answer.Batches
			l.Send.Resend.Bytes += answer.Bytes
		}
	}
	return answer, nil
}

func (n *fakeNode) Explain(_ context.Context, r console.ExplainRequest) (console.Explanation, error) {
	return n.answers.Explain, n.noted("explain", r)
}

func (n *fakeNode) AcceptSender(_ context.Context, link, _ string) (console.Acceptance, error) {
	return n.answers.Accept, n.noted("accept", link)
}

func (n *fakeNode) Doctor(_ context.Context, link string) ([]console.Fact, error) {
	return n.answers.Doctor, n.noted("doctor", link)
}

func (n *fakeNode) Test(_ context.Context, r console.TestRequest) (console.TestState, error) {
	return n.answers.Test, n.noted("test", r)
}

func (n *fakeNode) TestReport(_ context.Context, link string) (console.TestReport, error) {
	return n.answers.TestReport, n.noted("test_report", link)
}

func (n *fakeNode) GuardTest(_ context.Context, r console.GuardTestRequest) (console.GuardReport, error) {
	return n.answers.GuardTest, n.noted("guard_test", r)
}

func (n *fakeNode) GuardReset(_ context.Context, r console.GuardResetRequest) (console.Guard, error) {
	return n.answers.GuardReset, n.noted("guard_reset", r)
}

func (n *fakeNode) AcceptInterface(_ context.Context, r console.AcceptRequest) (console.Accepted, error) {
	return n.answers.Accepted, n.noted("accept_interface", r)
}
