package gateway

import (
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/hcl/config"
)

func TestExemptionsFollowTheExceptions(t *testing.T) {
	today := time.Now().UTC().Truncate(24 * time.Hour)
	c := &config.Config{
		Receivers: []config.Receiver{{Address: "receiver.udp.a", Node: "n"}, {Address: "receiver.udp.b", Node: "m"}},
		Sinks:     []config.Sink{{Address: "sink.file.c", Node: "m"}, {Address: "sink.file.d", Node: "old"}},
		Exceptions: []config.Exception{
			{Allows: "degraded_sandbox", On: "receiver.udp.a", Until: today},
			{Allows: "unencrypted_udp", On: "receiver.udp.b", Until: today},
			{Allows: "degraded_sandbox", On: "sink.file.c", Until: today.AddDate(0, 0, -1)},
			{Allows: "degraded_sandbox", On: "node.old", Until: today},
			{Allows: "single_guard_barrier", On: "node.n", Until: today},
		},
	}
	var e Exemptions
	if e.Sandbox("") || e.Sandbox("udp.a") {
		t.Error("without a configuration")
	}
	e.Use(c)
	for component, want := range map[string]bool{
		"udp.a": true, "udp.b": false, "file.c": false, "file.d": true, "file.x": false, "": true,
	} {
		if got := e.Sandbox(component); got != want {
			t.Errorf("%q: %v", component, got)
		}
	}
	if !singleBarrier(c, "n", time.Now()) || singleBarrier(c, "m", time.Now()) {
		t.Error("single barrier")
	}
	c.Exceptions = c.Exceptions[1:3]
	if e.Sandbox("") {
		t.Error("no such exception holds")
	}
}
