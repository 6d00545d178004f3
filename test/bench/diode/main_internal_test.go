package main

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/test/netlab"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{verbSend, verbReceive, verbRawSend, verbRawReceive}, os.Args[1]) {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

func TestParse(t *testing.T) {
	t.Setenv("QUICK", "")
	for _, bad := range [][]string{{"-runs", "0"}, {"-size", "1"}, {"-peer-send", "x"}, {"-nonsense"}} {
		if _, err := parse(bad, io.Discard); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	o, err := parse([]string{"-only", "5 %,raw"}, io.Discard)
	if err != nil || !o.wants("5 % random") || !o.wants("raw") || o.wants("1 % random") {
		t.Errorf("%+v, %v", o, err)
	}
	t.Setenv("QUICK", "1")
	if o, err = parse(nil, io.Discard); err != nil || !o.quick || o.deadline.IsZero() {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestLoss(t *testing.T) {
	for _, c := range []struct {
		loss       loss
		share, run float64
		rule       string
	}{
		{loss{}, 0, 1, ""},
		{loss{percent: 5}, 0.05, 1 / 0.95, "numgen random mod 100000 < 5000 counter name lost drop"},
		{loss{burst: 100, every: 10_000}, 0.01, 100, "numgen inc mod 10000 5000-5099 counter name lost drop"},
	} {
		if got := c.loss.share(); got != c.share {
			t.Errorf("%+v: share %v", c.loss, got)
		}
		if got := c.loss.run(); got != c.run {
			t.Errorf("%+v: run %v", c.loss, got)
		}
		if got := c.loss.rule(); got != c.rule {
			t.Errorf("%+v: rule %q", c.loss, got)
		}
	}
}

// TestClean says what makes the search for a rate go down: an end that does not keep up, not what the wire loses.
func TestClean(t *testing.T) {
	lossy := loss{percent: 5}
	for _, c := range []struct {
		run  run
		loss loss
		want bool
	}{
		{run{intact: true}, loss{}, true},
		{run{}, loss{}, false},
		{run{}, lossy, true},
		{run{intact: true, drops: 1}, lossy, false},
		{run{intact: true, far: farReport{linkReport: linkReport{Overload: 1}}}, lossy, false},
	} {
		if got := c.run.clean(c.loss); got != c.want {
			t.Errorf("%+v with %+v: %v", c.run, c.loss, got)
		}
	}
}

// TestProbeRefuses shows that a wire which does not lose as the row says is found out: whole bursts, too little,
// counters that do not fit.
func TestProbeRefuses(t *testing.T) {
	x := loss{name: "5 % random", percent: 5}
	good := probeResult{sent: 40_000, lost: 2000, run: 1.05, counts: wireCounts{40_000, 2000}}
	if err := good.check(x); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string]func(*probeResult){
		"bursts":   func(p *probeResult) { p.run = 40 },
		"too few":  func(p *probeResult) { p.lost, p.counts.lost = 1000, 1000 },
		"counters": func(p *probeResult) { p.counts.lost = 1900 },
		"unseen":   func(p *probeResult) { p.counts.seen = 1000 },
	} {
		p := good
		bad(&p)
		if err := p.check(x); err == nil {
			t.Errorf("%s: %s was taken", name, p)
		}
	}
}

func TestCounters(t *testing.T) {
	c, err := parseCounters([]byte(`{"nftables": [{"metainfo": {}}, {"counter": {"name": "seen", "packets": 7}}, {"counter": {"name": "lost", "packets": 3}}]}`))
	if err != nil || c != (wireCounts{7, 3}) {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := parseCounters([]byte("nonsense")); err == nil {
		t.Error("nonsense was taken")
	}
	const text = "Ip: A\nIp: 1\nUdp: InDatagrams RcvbufErrors\nUdp: 5 42\n"
	if n, err := snmp(text, "Udp:", "RcvbufErrors"); err != nil || n != 42 {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := snmp(text, "Udp:", "Nothing"); err == nil {
		t.Error("a counter that is not there was found")
	}
}

func TestSpans(t *testing.T) {
	var list []span
	for _, seq := range []uint64{1, 2, 3, 7, 8} {
		list = add(list, seq, seq)
	}
	if want := []span{{1, 3}, {7, 8}}; !slices.Equal(list, want) {
		t.Errorf("%v", list)
	}
	if count(list) != 5 || !contains(list, 2) || contains(list, 4) || !contains(list, 7) {
		t.Errorf("%v", list)
	}
}

// TestSource cuts a payload that does not end with a whole batch.
func TestSource(t *testing.T) {
	path := t.TempDir() + "/in"
	const size = 2*batchBytes + 1000
	if _, err := newPayload(path, size, 7); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	s := &fileSource{file: f, size: size}
	total := 0
	for seq := uint64(1); seq <= s.last(); seq++ {
		if got := s.before(seq); got != uint64(total) {
			t.Errorf("%d bytes before batch %d, want %d", got, seq, total)
		}
		b, err := s.next(t.Context(), seq, make([]byte, 2*batchBytes))
		if err != nil {
			t.Fatal(err)
		}
		total += len(b)
	}
	if total != size || s.before(s.last()+1) != size {
		t.Errorf("%d bytes of %d", total, size)
	}
}

func TestSameBatches(t *testing.T) {
	dir := t.TempDir()
	if _, err := newPayload(dir+"/a", 3*batchBytes, 1); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(dir + "/a")
	if err != nil {
		t.Fatal(err)
	}
	b[batchBytes+5] ^= 1
	if err := os.WriteFile(dir+"/b", b, 0o600); err != nil {
		t.Fatal(err)
	}
	all := func(uint64) bool { return true }
	if n, err := sameBatches(dir+"/a", dir+"/b", 3*batchBytes, all); err != nil || n != 1 {
		t.Errorf("%d altered, %v", n, err)
	}
	if n, err := sameBatches(dir+"/a", dir+"/b", 3*batchBytes, func(seq uint64) bool { return seq != 2 }); err != nil || n != 0 {
		t.Errorf("%d altered without the second, %v", n, err)
	}
}

func TestReport(t *testing.T) {
	one := func(name string, took time.Duration, whole bool) run {
		r := run{name: name, size: 1e9, arrived: 1e9, took: took, tx: time.Second, rx: time.Second, wireBytes: 1.25e9, intact: whole}
		if name == "sluice" {
			r.near.Shape = "192+32 of 1408 B"
			r.far.Delivered = []span{{1, (1_000_000_000 + batchBytes - 1) / batchBytes}}
		}
		return r
	}
	r := &report{
		setup: []string{"one machine"},
		rows: []*result{{
			row: row{name: "no loss", fec: "8x8/128"}, rate: 5 * gbit,
			runs: []run{one("sluice", 2*time.Second, true), one("udpcast", 8*time.Second, true), one("sluice", 2*time.Second, true), one("udpcast", 8*time.Second, false)},
		}},
		limits: []limit{{name: "raw", mtu: 1500, delivered: 1000}},
		broken: []run{one("sluice", time.Second, false), {name: "udpcast", size: 5, ended: "receiver: gone"}},
		times:  []*result{{row: row{events: 1000, loss: loss{name: "none"}}, runs: []run{{far: farReport{Times: []int64{1e6, 2e6, 3e6}}}}}},
	}
	const want = "RESULT goodput_mbps=4000.0 cpu_s_per_gb=2.00 lost=0 wire_ratio=1.250 ratio_vs_udpcast=4.00 udpcast_cpu_s_per_gb=2.00 " +
		"ratio_vs_raw=0.50 latency_1000_loss_0_p50_ms=2.0 latency_1000_loss_0_p99_ms=3.0"
	if got := r.result(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	text := r.tables()
	for _, line := range []string{"| no loss | udpcast | FEC 8x8/128 | 1/2 | 125 (125–125) |", "session lost: receiver: gone", "| 1000 | none | 3 | 2.0 ms | 3.0 ms | 3.0 ms | 0 |"} {
		if !strings.Contains(text, line) {
			t.Errorf("no %q in:\n%s", line, text)
		}
	}
	path := t.TempDir() + "/doc.md"
	if err := os.WriteFile(path, []byte("before\n"+markBegin+"\nold\n"+markEnd+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.write(path); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "before\n"+markBegin+"\n"+r.tables()+"\n"+markEnd+"\nafter\n" {
		t.Errorf("%v, document:\n%s", err, b)
	}
	if err := r.write(t.TempDir() + "/none"); err == nil {
		t.Error("a document that is not there was written")
	}
}

// TestLab measures a little of everything once, as the program does: the figures are not looked at.
func TestLab(t *testing.T) {
	if err := netlab.Supported(); err != nil {
		t.Skip(err)
	}
	t.Setenv("QUICK", "")
	o, err := parse([]string{"-dir", t.TempDir(), "-size", "4000000", "-peer-size", "4000000", "-runs", "1", "-rate", "400000000"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	o.latencyFor = 200 * time.Millisecond
	r := &report{}
	err = inLab(t.Context(), o, t.Output(), func(l *lab) error { return l.little(t.Context(), r) })
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range r.rows {
		for _, y := range x.of("sluice") {
			if !y.intact || y.took <= 0 || y.tx <= 0 || y.rx <= 0 || y.wireRatio() < 1.1 {
				t.Errorf("%s: %s", x.row.name, y)
			}
		}
	}
	if len(r.limits) != 1 || r.limits[0].delivered <= 0 {
		t.Errorf("%v", r.limits)
	}
	if p := r.times[0].percentiles(); p.count == 0 || p.lost > 0 || p.p50 <= 0 {
		t.Errorf("%+v", p)
	}
}

func (l *lab) little(ctx context.Context, r *report) error {
	if err := l.returnPath(ctx, false); err != nil {
		return err
	}
	rows := l.throughput()
	for _, x := range []row{rows[0], rows[4]} {
		if err := l.rowOf(ctx, x, 1, r); err != nil {
			return err
		}
	}
	if err := l.raw(ctx, 1500, 1, r); err != nil {
		return err
	}
	return l.times(ctx, l.latency()[1], 1, r)
}
