package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/gateway/console"
)

// steps is a link whose resend is further each time that somebody asks; the last step stays.
type steps struct {
	mu   sync.Mutex // guards left
	left []console.Link
}

func (s *steps) status() console.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.left[0]
	if len(s.left) > 1 {
		s.left = s.left[1:]
	}
	return console.Status{Links: []console.Link{l}}
}

// sending is a link that has sent again, with some to go.
func sending(sent, missing, queued uint64) console.Link {
	return console.Link{Name: "l", Direction: sends, Send: &console.SendEnd{
		Resend: console.ResendProgress{Sent: sent, Missing: missing, Queued: queued, Bytes: 1000 * sent},
	}}
}

func TestWatchResend(t *testing.T) {
	from := console.ResendProgress{Sent: 100, Missing: 1, Bytes: 100_000}
	for _, c := range []struct {
		name  string
		steps []console.Link
		says  string
		err   string
	}{
		{name: "all sent", steps: []console.Link{sending(100, 1, 5), sending(103, 1, 2), sending(105, 1, 0)}, says: "sent again 5 of 5 batches, 5.0 kB; no longer kept 0\n"},
		{name: "one was gone", steps: []console.Link{sending(104, 2, 0)}, says: "sent again 4 of 5 batches, 4.0 kB; no longer kept 1\n"},
		{name: "others still wait", steps: []console.Link{sending(105, 1, 7)}, says: "sent again 5 of 5 batches, 5.0 kB; no longer kept 0\n"},
		{name: "link opened anew", steps: []console.Link{sending(102, 1, 3), sending(0, 0, 0)}, err: "the link was closed meanwhile"},
		{name: "link down", steps: []console.Link{sending(102, 1, 3), {Name: "l", Direction: sends, State: "down"}}, err: "the link was closed meanwhile"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			err := watchResend(commandOf(t.Context(), &out), served(t, &steps{left: c.steps}), 5, from)
			if c.err == "" && (err != nil || out.String() != c.says) {
				t.Errorf("%v: %q", err, out.String())
			}
			if c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("%v", err)
			}
		})
	}
}

// Interrupting the display does not interrupt the link.
func TestWatchingCanBeGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	e := served(t, &steps{left: []console.Link{sending(0, 0, 5)}})
	cancel()
	var out bytes.Buffer
	if err := watchResend(commandOf(ctx, &out), e, 5, console.ResendProgress{}); err == nil || !strings.Contains(err.Error(), "goes on sending") {
		t.Error(err)
	}
}

func TestABarEndsWhereverItIs(*testing.T) {
	for _, sent := range []uint64{0, 3, 5, 9} {
		var out bytes.Buffer
		b := newBar(&out, 5, console.ResendProgress{})
		b.at(console.ResendProgress{Sent: sent})
		b.end()
	}
}

func commandOf(ctx context.Context, out *bytes.Buffer) *cobra.Command {
	cmd := &cobra.Command{}
	cmd.SetContext(ctx)
	cmd.SetOut(out)
	return cmd
}

func served(t *testing.T, s *steps) end {
	t.Helper()
	path := filepath.Join(t.TempDir(), console.SocketName)
	server, err := console.Listen(t.Context(), path, s.status)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return end{client: console.Client{Path: path}, link: console.Link{Name: "l"}}
}
