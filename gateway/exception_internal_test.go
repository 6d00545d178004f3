package gateway

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/hcl/config"
	"github.com/sluice-gateway/sluice/sdk"
)

func TestAnExceptionEndsWhileTheNodeRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		day := time.Now().UTC().Truncate(24 * time.Hour)
		e := config.Exception{Until: day.AddDate(0, 0, 1)} // tomorrow is the last day
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if err := waitForEnd(ctx, e, cancel); err != nil || ctx.Err() == nil {
			t.Fatalf("%v, ended %v", err, ctx.Err())
		}
		if over := time.Since(day.AddDate(0, 0, 2)); over < 0 || over > exceptionLook {
			t.Errorf("closed %v after its last day", over)
		}
		stopped, stop := context.WithCancel(t.Context())
		stop()
		e.Until = e.Until.AddDate(1, 0, 0)
		if err := waitForEnd(stopped, e, func() { t.Error("ended") }); err != nil {
			t.Error(err)
		}
	})
}

func TestOnlyAReceiverThatNeedsItsExceptionLivesByIt(t *testing.T) {
	g := testGateway(t)
	g.opts.Plan.Config.Exceptions = []config.Exception{
		{Name: "plain", Allows: "unencrypted_udp", On: "receiver.udp.a"}, {Name: "old", Allows: "obsolete_tls", On: "receiver.tcp.b"},
	}
	for _, c := range []struct {
		address string
		traits  sdk.Traits
		want    string
	}{
		{"receiver.udp.a", sdk.Traits{Network: "udp", Encryption: "none"}, "plain"},
		{"receiver.udp.a", sdk.Traits{Network: "udp"}, "plain"},
		{"receiver.udp.a", sdk.Traits{Network: "udp", Encryption: "by-endpoint"}, ""},
		{"receiver.tcp.b", sdk.Traits{Network: "tcp", Encryption: "tls"}, ""},
		{"receiver.tcp.b", sdk.Traits{Encryption: "none"}, ""},
	} {
		got := ""
		if e := g.livesBy(&receiver{conf: &config.Receiver{Address: c.address}, part: part{traits: c.traits}}); e != nil {
			got = e.Name
		}
		if got != c.want {
			t.Errorf("%s %+v lives by %q, want %q", c.address, c.traits, got, c.want)
		}
	}
}

func TestStatusListsTheExceptionsInForceHere(t *testing.T) {
	g := testGateway(t, config.Sink{Address: "sink.file.a"})
	g.opts.Plan.Config.Receivers = []config.Receiver{{Address: "receiver.udp.a", Node: "n"}, {Address: "receiver.udp.far", Node: "other"}}
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for name, on := range map[string]string{"a": "receiver.udp.a", "b": "receiver.udp.far", "c": "node.n", "d": "node.other", "e": "sink.file.a"} {
		g.opts.Plan.Config.Exceptions = append(g.opts.Plan.Config.Exceptions, config.Exception{Name: name, On: on, Until: now.Truncate(24 * time.Hour)})
	}
	names := func(at time.Time) string {
		var out strings.Builder
		for _, e := range g.exceptions(at) {
			out.WriteString(e.Name)
		}
		return out.String()
	}
	if got := names(now); len(got) != 3 || strings.ContainsAny(got, "bd") {
		t.Errorf("today %q", got)
	}
	if got := names(now.AddDate(0, 0, 1)); got != "" {
		t.Errorf("tomorrow %q", got)
	}
}
