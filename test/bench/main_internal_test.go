package main

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/test/bench/load"
	"github.com/sluice-gateway/sluice/test/bench/procs"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == generateVerb {
		if err := generate(context.Background(), os.Args[2:], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// TestRounds runs each kind of round against the yardstick: what the programs behind `make bench` do, in little. The
// figures are not looked at.
func TestRounds(t *testing.T) {
	l, err := newLab(options{bin: t.TempDir(), dir: t.TempDir(), seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	if l.rsyslogd == "" {
		t.Skip("rsyslogd is not installed: apt-get install rsyslog rsyslog-openssl")
	}
	for _, test := range []struct {
		job  job
		tail bool
	}{
		{job{kind: "tls", ca: l.certFile, count: 20_000, connections: 3, seed: 7}, false},
		{job{kind: "tls", ca: l.certFile, count: 50, rate: 500, connections: 1, seed: 7}, true},
		{job{kind: "udp", count: 50, rate: 500, seed: 7}, false},
	} {
		t.Run(fmt.Sprintf("%s-%d", test.job.kind, test.job.count), func(t *testing.T) {
			r, err := l.round(t.Context(), contestant{"rsyslog", startRsyslog}, test.job, test.tail)
			if err != nil {
				t.Fatal(err)
			}
			if r.arrived.Distinct != test.job.count || r.arrived.Twice != 0 || r.arrived.Altered != 0 {
				t.Errorf("%s", r)
			}
			if test.tail && r.sent.Times.Count != int(test.job.count) {
				t.Errorf("times of %d messages", r.sent.Times.Count)
			}
			if r.took <= 0 || r.used.Peak == 0 {
				t.Errorf("took %v, used %+v", r.took, r.used)
			}
		})
	}
}

func TestReport(t *testing.T) {
	one := func(side string, arrived uint64, took time.Duration) round {
		r := round{side: side, took: took, used: procs.Usage{CPU: time.Second, Peak: 5e6}}
		r.sent.Count, r.arrived.Distinct = 1000, arrived
		r.sent.Times = &load.Distribution{P50: time.Millisecond, P99: 2 * time.Millisecond}
		return r
	}
	r := &report{
		setup: &conditions{lines: []string{"one machine"}},
		tls:   []round{one("sluice", 1000, time.Second), one("rsyslog", 990, 2*time.Second), one("sluice", 1000, 3*time.Second), one("rsyslog", 1000, 2*time.Second)},
		udp:   []round{one("rsyslog", 690, time.Second)},
	}
	const want = "RESULT events_per_s=667 goodput_mbps=1.5 cpu_s_per_gb=3571.43 peak_mb=5 wire_per_byte=0.000 lost=0 twice=0 altered=0 " +
		"ratio_vs_rsyslog=1.340 rsyslog_cpu_s_per_gb=3589.47 rsyslog_lost=10 rsyslog_udp_lost_percent=31.00"
	if got := r.result(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	path := t.TempDir() + "/doc.md"
	if err := r.write(path); err == nil {
		t.Error("a document that is not there was written")
	}
	if err := os.WriteFile(path, []byte("before\n"+markBegin+"\nold\n"+markEnd+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.write(path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := "before\n" + markBegin + "\n" + r.tables() + "\n" + markEnd + "\nafter\n"; string(b) != want {
		t.Errorf("document:\n%s", b)
	}
}
