package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/hcl/config"
)

func testDiode() *config.Diode {
	d := &config.Diode{Name: "d", From: "near", To: "far"}
	d.Send.Destination = netip.MustParseAddrPort("192.0.2.1:5760")
	d.Receive.Listen = d.Send.Destination
	return d
}

// An interface can be missing for days: that is said at once, once, and in status.
func TestALinkThatCannotStartSaysSoOncePerCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var cause atomic.Value
		cause.Store(errors.New("no interface eno2"))
		l := &link{diode: testDiode(), direction: "send", log: slog.New(slog.NewTextHandler(&out, nil))}
		l.start = func(context.Context, *link) error { err, _ := cause.Load().(error); return err }
		ctx, cancel := context.WithCancel(t.Context())
		ran := start(func() error { return l.run(ctx) })
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if got := l.status().State; got != "down: no interface eno2" {
			t.Errorf("state %q", got)
		}
		cause.Store(errors.New("no address on it"))
		time.Sleep(2 * time.Second)
		cancel()
		if err := ran.wait(); err != nil {
			t.Error(err)
		}
		if got := strings.Count(out.String(), "link ended"); got != 2 {
			t.Errorf("said %d times:\n%s", got, out.String())
		}
		if got := l.status().State; got != "down: stopped" {
			t.Errorf("state at the end %q", got)
		}
	})
}

func TestGoingBackIsBoundedInBytesAndEntries(t *testing.T) {
	o := testOrigin(t, t.TempDir(), viaOrigin("d"), spool.Options{})
	for i := range 100 {
		appendBatch(t, o, bytes.Repeat([]byte("x"), 998+i%2), 1)
	}
	for _, c := range []struct {
		bytes int64
		want  uint64
	}{{0, 101}, {1, 100}, {10_000, 91}, {1 << 30, 1}} {
		t.Run(fmt.Sprint(c.bytes), func(t *testing.T) {
			if got := goBack(o.logs[0], 101, c.bytes); got < c.want-1 || got > c.want+1 {
				t.Errorf("goes back to %d, want about %d", got, c.want)
			}
		})
	}
	for range goBackEntries {
		if err := o.logs[0].AppendAsync(t.Context(), 1, func(uint64, error) {}, localEnvelope(time.Now())); err != nil {
			t.Fatal(err)
		}
	}
	last := appendBatch(t, o, nil, 1)
	if got := goBack(o.logs[0], last+1, 1<<30); got != last+1-goBackEntries {
		t.Errorf("goes back to %d of %d", got, last)
	}
}
