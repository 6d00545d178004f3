package console_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/console"
)

// evidence is a report in which everything is as it must be.
func evidence() console.GuardReport {
	return console.GuardReport{
		Node: "gw-plant", At: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), Guard: sample().Guard,
		Trials:  []console.Trial{{Interface: "eno3", Checks: []console.Check{{Name: "packet socket", OK: true}}}},
		Mirrors: []console.Mirror{{Interface: "eno1", Verdict: console.MirrorOrdinary, Unicast: 200, Foreign: 1}},
	}
}

func TestProblemsOfTheGuard(t *testing.T) {
	eno3 := func(r *console.GuardReport) *console.Interface { return &r.Guard.Interfaces[1] }
	for _, c := range []struct {
		name string
		edit func(*console.GuardReport)
		want []string // begins of the problems
	}{
		{"all is well", func(*console.GuardReport) {}, nil},
		{"tripped", func(r *console.GuardReport) {
			r.Guard.State = console.GuardTripped
			r.Guard.Trips = []console.Trip{{Interface: "eno3", Cause: "sent 5 frames past both drops"}}
		}, []string{"eno3 tripped: sent 5 frames"}},
		{"unknown", func(r *console.GuardReport) { r.Guard.State = "unknown: events were lost" }, []string{"the guard's state is unknown: events were lost"}},
		{"no warden", func(r *console.GuardReport) { *r.Guard.Warden = console.Warden{Reason: "refused"} }, []string{"the warden does not answer: refused"}},
		{"one egress drop is missing", func(r *console.GuardReport) {
			eno3(r).Barriers.Egress[1] = console.Check{Name: "tc egress", Text: "no filter"}
		}, []string{"eno3: tc egress is not as it must be: no filter"}},
		{"an exception accepts that", func(r *console.GuardReport) {
			eno3(r).Barriers.Egress[1], r.SingleBarrier = console.Check{Name: "tc egress", Text: "no filter"}, true
		}, nil},
		{"an exception never accepts none", func(r *console.GuardReport) {
			eno3(r).Barriers.Egress, r.SingleBarrier = []console.Check{{Name: "nft egress"}, {Name: "tc egress"}}, true
		}, []string{"eno3: nft egress", "eno3: tc egress"}},
		{"no drop is listed", func(r *console.GuardReport) { eno3(r).Barriers.Egress = nil }, []string{"eno3: no egress drop"}},
		{"nothing stands", func(r *console.GuardReport) { eno3(r).Barriers = nil }, []string{"eno3: nothing stands before it"}},
		{"loopback needs nothing", func(r *console.GuardReport) { eno3(r).Barriers, eno3(r).Loopback = nil, true }, nil},
		{"not quiet", func(r *console.GuardReport) { eno3(r).Barriers.Quiet[0] = console.Check{Name: "arp", Text: "on"} }, []string{"eno3: arp is not"}},
		{"a frame left", func(r *console.GuardReport) { eno3(r).Barriers.Sent = 1 }, []string{"eno3: 1 frame left"}},
		{"a diode sends", func(r *console.GuardReport) { eno3(r).Role, eno3(r).Barriers.Sent = "diode-tx", 9 }, nil},
		{"input", func(r *console.GuardReport) { r.Guard.Input = &console.Check{Text: "chain gone"} }, []string{"the drop before the receivers' ports does not stand: chain gone"}},
		{"a trial got through", func(r *console.GuardReport) { r.Trials[0].Checks[0].OK = false }, []string{"eno3: packet socket"}},
		{"a mirror port", func(r *console.GuardReport) {
			r.Mirrors[0].Verdict, r.Mirrors[0].Text = console.MirrorPort, "eno1 looks like a mirror port"
		}, []string{"eno1 looks like a mirror port"}},
		{"undecided is no problem", func(r *console.GuardReport) { r.Mirrors[0].Verdict = console.MirrorUndecided }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := evidence()
			c.edit(&r)
			got := r.Problems()
			if len(got) != len(c.want) || slices.ContainsFunc(c.want, func(w string) bool { return !strings.HasPrefix(got[slices.Index(c.want, w)], w) }) {
				t.Errorf("%q, want %q", got, c.want)
			}
			var text bytes.Buffer
			if err := console.GuardReportText(&text, r); err != nil || strings.Contains(text.String(), "\nNOT OK") != (len(got) > 0) {
				t.Errorf("%v\n%s", err, text.String())
			}
		})
	}
}

func TestEvidenceIsShown(t *testing.T) {
	r := evidence()
	r.Mirrors = append(r.Mirrors, console.Mirror{Interface: "eno5", Verdict: console.MirrorUndecided})
	r.Guard.Restored = slices.Repeat(r.Guard.Restored, 9)
	r.Guard.Trips = []console.Trip{{At: r.At, Interface: "eno3", Cause: "an XDP program was attached\x1b[2J", Did: "set down; receivers closed"}}
	var text bytes.Buffer
	if err := console.GuardReportText(&text, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"node gw-plant at 2026-11-23 12:00:00Z", "TRIPPED eno3 at 2026-11-23 12:00:00Z: an XDP program was attached?[2J; set down", "sluice guard reset --reason TEXT",
		"tried on eno3: packet socket ok", "watched eno1: ordinary (200 frames for one machine, 1 of them for others)",
		"set right again before that: 5 changes, see --json",
		"too little arrives to tell eno5 from a mirror port: undecided, not safe",
		"before the receivers' ports on other interfaces: nft input ok", "NOT OK",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("lacks %q:\n%s", want, text.String())
		}
	}
}

func TestInterfacesAreShownAsAConfigurationCanNameThem(t *testing.T) {
	var text bytes.Buffer
	if err := console.InterfacesText(&text, "gw-plant", sample().Guard.Interfaces); err != nil {
		t.Fatal(err)
	}
	const want = `node gw-plant
  interface  role              addresses                 identity                                              why
  eno1       service     up    10.20.0.5/24, fe80::1/64  path:pci-0000:03:00.0 mac:02:00:5e:10:00:01 enp3s0f0  it is nothing else
  eno3       monitoring  up    -                         mac:02:00:5e:10:00:03                                 named "eno3" in monitoring_points
  eno4       closed      down  -                         mac:02:00:5e:10:00:04                                 it appeared later
  eno4 is new here: sluice interfaces accept eno4, when it is to serve endpoints
`
	if text.String() != want {
		t.Errorf("\n%s\nwant\n%s", text.String(), want)
	}
}

func TestWhereEndpointsReachAReceiver(t *testing.T) {
	st := sample()
	r := &st.Receivers[0]
	for _, c := range []struct {
		local, state string
		want         []string
	}{
		{"0.0.0.0:20001", "listening", []string{"10.20.0.5"}},
		{"[::]:20001", "listening", []string{}}, // that of the link alone is no use
		{"192.0.2.1:20001", "listening", []string{"192.0.2.1"}},
		{"0.0.0.0:20001", "failed", []string{}},
		{"nonsense", "listening", []string{}},
	} {
		r.Sockets[0].Local, r.Sockets[0].State = c.local, c.state
		if got := st.AddressesOf(*r); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestDaysThatAreLeft(t *testing.T) {
	now := time.Date(2026, 11, 24, 23, 59, 0, 0, time.UTC)
	for until, want := range map[string]int{
		"2026-11-24": 1, "2026-11-25": 2, "2026-12-24": 31, "2026-11-23": 0, "2020-01-01": 0, "2027-11-24": 366, "soon": -1,
	} {
		if got := (console.Exception{Until: until}).DaysLeft(now); got != want {
			t.Errorf("%s: %d days, want %d", until, got, want)
		}
	}
	var text bytes.Buffer
	err := console.ExceptionsText(&text, "n", []console.Exception{{Name: "a", Until: "2026-11-30"}, {Name: "b", Until: "2026-11-01"}, {Name: "c", Until: "2028-01-01"}}, now)
	for _, want := range []string{"2026-11-30: 7 days left: ENDS SOON", "2026-11-01: ENDED", "2028-01-01: 404 days left"} {
		if err != nil || !strings.Contains(text.String(), want) {
			t.Errorf("%v: lacks %q:\n%s", err, want, text.String())
		}
	}
}

func TestRates(t *testing.T) {
	var m console.Meter
	at := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	if m.Rate() != 0 {
		t.Error(m.Rate())
	}
	for i := range 100 { // 5 per second, then 20
		n := uint64(5 * i)
		if i > 50 {
			n = uint64(250 + 20*(i-50))
		}
		m.Sample(at.Add(time.Duration(i)*time.Second), n)
		if i == 40 && m.Rate() != 5 {
			t.Error(m.Rate())
		}
	}
	if m.Rate() != 20 {
		t.Error(m.Rate())
	}
	m.Sample(at.Add(101*time.Second), 3) // it began anew
	if m.Rate() != 0 {
		t.Error(m.Rate())
	}
	m.Sample(at, 4) // the clock went back
	m.Sample(at.Add(time.Second), 10)
	if m.Rate() != 6 {
		t.Error(m.Rate())
	}
}
