package main

import (
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/test/bench/tally"
)

func TestResult(t *testing.T) {
	of := func(seconds int) []round {
		return []round{{sent: 100, arrived: tally.Result{Distinct: 100}, took: time.Duration(seconds) * time.Second}}
	}
	r := &report{
		tls: pairOf[round]{of(2), of(1)}, udp: pairOf[round]{of(1), of(1)},
		link:   pairOf[linkRun]{[]linkRun{{MBps: 90, CPUPerGB: 3}}, []linkRun{{MBps: 100, CPUPerGB: 2}}},
		starts: pairOf[time.Duration]{[]time.Duration{30 * time.Millisecond}, []time.Duration{20 * time.Millisecond}},
	}
	want := "RESULT tls_rate_ratio=0.500 tls_cpu_ratio=0.000 udp_rate_ratio=1.000 udp_cpu_ratio=0.000 " +
		"link_rate_ratio=0.900 link_cpu_ratio=1.500 start_more_ms=10.000"
	if got := r.result(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
