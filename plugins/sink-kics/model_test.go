package sinkkics_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	sinkkics "github.com/sluice-gateway/sluice/plugins/sink-kics"
	"github.com/sluice-gateway/sluice/sdk"
)

// bubble runs a sink against a host in synthetic time.
func bubble(t *testing.T, h *host, config string, test func(t *testing.T, s *sinkkics.Sink, o *outlet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := sinkkics.New()
		setup := sdk.Setup{Name: "kics.test", Config: []byte(config), Connect: []string{node}, Log: sdk.NewLogger(t.Output())}
		if err := s.Configure(t.Context(), setup); err != nil {
			t.Fatal(err)
		}
		o := newOutlet()
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- s.Run(ctx, network{dial: func() (sdk.PacketSender, error) { return h, nil }}, o) }()
		test(t, s, o)
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

func TestPace(t *testing.T) {
	h := &host{}
	bubble(t, h, `{"mode":"telemetry","rate":1000,"burst":10}`, func(t *testing.T, _ *sinkkics.Sink, o *outlet) {
		t.Helper()
		begun := time.Now()
		n := o.deliver(t, 0, 5000)
		o.waitAck(t, n)
		if took := time.Since(begun); took < 4990*time.Millisecond || took > 5200*time.Millisecond {
			t.Fatalf("5000 datagrams at 1000/s took %s", took)
		}
		for i := range h.times { // no more than the burst above the rate, anywhere
			if i >= 100 && h.times[i].Sub(h.times[i-100]) < 90*time.Millisecond {
				t.Fatalf("100 datagrams in %s at %d", h.times[i].Sub(h.times[i-100]), i)
			}
		}
	})
}

func TestAcknowledgesAfterSettling(t *testing.T) {
	bubble(t, &host{}, `{"mode":"telemetry","settle":200000000}`, func(t *testing.T, _ *sinkkics.Sink, o *outlet) {
		t.Helper()
		begun := time.Now()
		o.waitAck(t, o.deliver(t, 0, 1))
		if took := time.Since(begun); took < 200*time.Millisecond || took > 300*time.Millisecond {
			t.Fatalf("acknowledged after %s, settle is 200ms", took)
		}
	})
}

func TestProbesOnceASecondWithRealData(t *testing.T) {
	h := &host{delay: 5 * time.Millisecond, closed: true}
	bubble(t, h, `{"mode":"telemetry"}`, func(t *testing.T, _ *sinkkics.Sink, o *outlet) {
		t.Helper()
		n := o.deliver(t, 0, 50)
		o.waitHold(t)
		time.Sleep(10 * time.Second) // synthetic
		if o.acked() != 0 || o.holds != 1 {
			t.Fatalf("acknowledged %d, %d holds", o.acked(), o.holds)
		}
		h.set(false)
		begun := time.Now()
		o.wait(t, "the end of the hold", func() bool { return o.reason == "" })
		if took := time.Since(begun); took > 3200*time.Millisecond {
			t.Fatalf("resumed after %s", took)
		}
		o.waitAck(t, n)
		got := h.received()
		if got[0] != "datagram 0" || len(firsts(got)) != 50 {
			t.Fatalf("%q", got)
		}
	})
}

func TestErrnos(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ENOBUFS, syscall.EPERM, syscall.EIO} {
		h := &host{pending: errno}
		bubble(t, h, `{"mode":"telemetry"}`, func(t *testing.T, _ *sinkkics.Sink, o *outlet) {
			t.Helper()
			n := o.deliver(t, 0, 10)
			if reason := o.waitHold(t); !strings.Contains(reason, errno.Error()) {
				t.Errorf("holding: %q, want %q", reason, errno.Error())
			}
			o.waitAck(t, n)
			if got := firsts(h.received()); len(got) != 10 {
				t.Errorf("%q", got)
			}
		})
	}
}

// TestBrokenSender loses the way to the socket, not the target: the sink dials again.
func TestBrokenSender(t *testing.T) {
	h := &host{pending: errors.New("the core's end has closed")}
	bubble(t, h, `{"mode":"telemetry"}`, func(t *testing.T, _ *sinkkics.Sink, o *outlet) {
		t.Helper()
		n := o.deliver(t, 0, 10)
		o.waitHold(t)
		o.waitAck(t, n)
		if got := firsts(h.received()); len(got) != 10 {
			t.Errorf("%q", got)
		}
	})
}

// TestTooLargeForThePath rejects a datagram that the kernel will not send, and only that.
func TestTooLargeForThePath(t *testing.T) {
	h := &host{refuse: map[string]syscall.Errno{"datagram 3": syscall.EMSGSIZE, "datagram 4": syscall.EMSGSIZE, "datagram 9": syscall.EMSGSIZE}}
	bubble(t, h, `{"mode":"telemetry"}`, func(t *testing.T, _ *sinkkics.Sink, o *outlet) {
		t.Helper()
		o.waitAck(t, o.deliver(t, 0, 10))
		if got := h.received(); fmt.Sprint(got) != fmt.Sprint([]string{"datagram 0", "datagram 1", "datagram 2", "datagram 5", "datagram 6", "datagram 7", "datagram 8"}) {
			t.Fatalf("%q", got)
		}
		if rs := o.rejected; len(rs) != 3 || rs[0].Record != 3 || rs[2].Record != 9 || rs[0].Err.Code != sdk.CodeTooLarge {
			t.Fatalf("%+v", rs)
		}
	})
}

func TestDrainConfirmsWhatWasTaken(t *testing.T) {
	h := &host{}
	bubble(t, h, `{"mode":"telemetry","rate":100}`, func(t *testing.T, s *sinkkics.Sink, o *outlet) {
		t.Helper()
		o.deliver(t, 0, 200)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := s.Drain(ctx); err != nil {
			t.Fatal(err)
		}
		if o.acked() != 1 || len(h.received()) != 200 {
			t.Fatalf("acknowledged %d, %d datagrams", o.acked(), len(h.received()))
		}
	})
}

func TestDrainGivesUpOnAClosedPort(t *testing.T) {
	h := &host{closed: true}
	bubble(t, h, `{"mode":"telemetry"}`, func(t *testing.T, s *sinkkics.Sink, o *outlet) {
		t.Helper()
		o.deliver(t, 0, 10)
		o.waitHold(t)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := s.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("drain: %v", err)
		}
		if o.acked() != 0 {
			t.Fatal("acknowledged what met a closed port")
		}
	})
}

// firsts keeps the first of equal datagrams.
func firsts(got []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, g := range got {
		if !seen[g] {
			seen[g] = true
			out = append(out, g)
		}
	}
	return out
}

// TestModel closes and opens the port at arbitrary times, with answers that are slow and limited in rate as a host's
// are: whatever is acknowledged has arrived at that moment, all arrive at the end, and the last arrivals are in order
// (a datagram behind a lost one can arrive before that is sent again, and is then sent again behind it).
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := &host{
			delay: time.Duration(rapid.IntRange(0, 40).Draw(rt, "answer ms")) * time.Millisecond,
			limit: rapid.Bool().Draw(rt, "limited"), tokens: 6,
		}
		config := fmt.Sprintf(`{"mode":"telemetry","rate":%d,"burst":%d}`, rapid.IntRange(5, 5000).Draw(rt, "rate"), rapid.IntRange(1, 100).Draw(rt, "burst"))
		type action struct{ pause, datagrams, toggle int }
		var plan []action
		for range rapid.IntRange(1, 12).Draw(rt, "actions") {
			plan = append(plan, action{rapid.IntRange(0, 4000).Draw(rt, "pause ms"), rapid.IntRange(0, 150).Draw(rt, "datagrams"), rapid.IntRange(0, 2).Draw(rt, "toggle")})
		}
		fault := ""
		bubble(t, h, config, func(t *testing.T, _ *sinkkics.Sink, o *outlet) {
			t.Helper()
			ends := map[uint64]int{}
			o.onAck = func(through uint64) {
				arrived := map[string]bool{}
				for _, g := range h.received() {
					arrived[g] = true
				}
				for i := range ends[through] {
					if want := fmt.Sprintf("datagram %d", i); !arrived[want] && fault == "" {
						fault = fmt.Sprintf("delivery %d acknowledged, %s has not arrived", through, want)
					}
				}
			}
			total, last := 0, uint64(0)
			for _, a := range plan {
				time.Sleep(time.Duration(a.pause) * time.Millisecond) // synthetic
				if a.toggle == 0 {
					h.mu.Lock()
					h.closed = !h.closed
					h.mu.Unlock()
				}
				if a.datagrams > 0 {
					o.mu.Lock()
					ends[o.number+1] = total + a.datagrams
					o.mu.Unlock()
					last = o.deliver(t, total, total+a.datagrams)
					total += a.datagrams
				}
			}
			h.set(false)
			o.waitAck(t, last)
			got := h.received()
			slices.Reverse(got)
			lasts := firsts(got)
			for i, g := range lasts {
				if want := fmt.Sprintf("datagram %d", len(lasts)-1-i); (g != want || len(lasts) != total) && fault == "" {
					fault = fmt.Sprintf("%d of %d arrived, the last but %d is %q", len(lasts), total, i, g)
				}
			}
		})
		if fault != "" {
			rt.Fatal(fault)
		}
	})
}
