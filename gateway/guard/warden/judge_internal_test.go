package warden

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/fence"
)

var judgedAt = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// seen is one barrier: which of its egress drops stand.
func seen(index int, egress ...bool) guard.Barrier {
	b := guard.Barrier{Interface: fmt.Sprintf("mon%d", index), Index: index, Role: guard.Monitoring}
	for i, ok := range egress {
		b.Egress = append(b.Egress, guard.Check{Name: fmt.Sprintf("drop %d", i), OK: ok})
	}
	return b
}

func drift(index int, what string) fence.Drift {
	return fence.Drift{Index: index, Interface: fmt.Sprintf("mon%d", index), What: what}
}

// text prints a judgement on one line.
func (j judgement) text() string {
	parts := make([]string, 0, len(j.trips)+len(j.restored))
	for _, t := range j.trips {
		parts = append(parts, "trip "+t.Interface+": "+t.Cause)
	}
	for _, r := range j.restored {
		parts = append(parts, "restore "+r.Interface+": "+r.What)
	}
	return strings.Join(parts, "; ")
}

func TestJudge(t *testing.T) {
	up := map[int]bool{3: true, 4: true}
	for _, c := range []struct {
		name    string
		sight   sight
		earlier int // how often "arp on" of mon3 was restored within the minute before
		want    string
	}{
		{name: "nothing is guarded"},
		{name: "whole", sight: sight{up: up, findings: fence.Findings{Barriers: []guard.Barrier{seen(3, true, true), seen(4, true, true)}}}},
		{
			name:  "one drop is gone",
			sight: sight{up: up, findings: fence.Findings{Barriers: []guard.Barrier{seen(3, true, false)}, Drifts: []fence.Drift{drift(3, "tc egress is gone")}}},
			want:  "restore mon3: tc egress is gone",
		},
		{
			name:  "both are gone",
			sight: sight{up: up, findings: fence.Findings{Barriers: []guard.Barrier{seen(3, false, false)}, Drifts: []fence.Drift{drift(3, "table is gone")}}},
			want:  "trip mon3: both egress drops were missing while it was up; restore mon3: table is gone",
		},
		{
			name:  "both are gone while it is down",
			sight: sight{findings: fence.Findings{Barriers: []guard.Barrier{seen(3, false, false)}, Drifts: []fence.Drift{drift(3, "table is gone")}}},
			want:  "restore mon3: table is gone",
		},
		{
			name:  "one of two interfaces is open",
			sight: sight{up: up, findings: fence.Findings{Barriers: []guard.Barrier{seen(3, true, true), seen(4, false, false)}}},
			want:  "trip mon4: both egress drops were missing while it was up",
		},
		{
			name:  "the only drop that an exception asks for is gone",
			sight: sight{up: up, findings: fence.Findings{Barriers: []guard.Barrier{seen(3, false)}}},
			want:  "trip mon3: both egress drops were missing while it was up",
		},
		{
			name:  "frames have left",
			sight: sight{up: up, findings: fence.Findings{Barriers: []guard.Barrier{seen(3, true, true)}, Breaches: []fence.Breach{{Index: 3, Interface: "mon3", Cause: "sent 5 frames"}}}},
			want:  "trip mon3: sent 5 frames",
		},
		{
			name: "frames have left and both drops are gone: one trip",
			sight: sight{up: up, findings: fence.Findings{
				Barriers: []guard.Barrier{seen(3, false, false)},
				Breaches: []fence.Breach{{Index: 3, Interface: "mon3", Cause: "sent 5 frames"}, {Index: 3, Interface: "mon3", Cause: "XDP"}},
			}},
			want: "trip mon3: sent 5 frames",
		},
		{
			name:  "what has tripped does not trip again",
			sight: sight{up: up, latched: map[int]bool{3: true}, findings: fence.Findings{Breaches: []fence.Breach{{Index: 3, Interface: "mon3", Cause: "sent 6 frames"}}}},
		},
		{
			name:  "but another one does",
			sight: sight{up: up, latched: map[int]bool{3: true}, findings: fence.Findings{Breaches: []fence.Breach{{Index: 4, Interface: "mon4", Cause: "XDP"}}}},
			want:  "trip mon4: XDP",
		},
		{
			name:  "gone into another namespace while up",
			sight: sight{left: []left{{index: 3, name: "mon3", up: true}}},
			want:  "trip mon3: went into another network namespace while it was up, where nothing keeps it silent",
		},
		{name: "gone into another namespace while down", sight: sight{left: []left{{index: 3, name: "mon3"}}}},
		{
			name: "the same five times", earlier: 4,
			sight: sight{up: up, findings: fence.Findings{Barriers: []guard.Barrier{seen(3, true, true)}, Drifts: []fence.Drift{drift(3, "arp on")}}},
			want:  "restore mon3: arp on",
		},
		{
			name: "the same six times", earlier: 5,
			sight: sight{up: up, findings: fence.Findings{Barriers: []guard.Barrier{seen(3, true, true)}, Drifts: []fence.Drift{drift(3, "arp on")}}},
			want:  "trip mon3: arp on: had to be set right 6 times within 1m0s; restore mon3: arp on",
		},
		{
			name: "another thing after five", earlier: 5,
			sight: sight{up: up, findings: fence.Findings{Barriers: []guard.Barrier{seen(3, true, true)}, Drifts: []fence.Drift{drift(3, "multicast on")}}},
			want:  "restore mon3: multicast on",
		},
		{
			name: "another interface after five", earlier: 5,
			sight: sight{up: up, findings: fence.Findings{Barriers: []guard.Barrier{seen(4, true, true)}, Drifts: []fence.Drift{drift(4, "arp on")}}},
			want:  "restore mon4: arp on",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			past := wear{}
			for i := range c.earlier {
				past.note(judgedAt.Add(-time.Duration(i+1)*time.Second), worn{3, "arp on"})
			}
			c.sight.at = judgedAt
			if have := judge(c.sight, past).text(); have != c.want {
				t.Errorf("have %q\nwant %q", have, c.want)
			}
		})
	}
}

func TestWearForgets(t *testing.T) {
	past := wear{}
	for i := range 5 {
		past.note(judgedAt.Add(time.Duration(i)*time.Second), worn{3, "arp on"})
	}
	s := sight{at: judgedAt.Add(2 * time.Minute), findings: fence.Findings{Drifts: []fence.Drift{drift(3, "arp on")}}}
	if have := judge(s, past).text(); have != "restore mon3: arp on" {
		t.Errorf("have %q", have)
	}
	judge(sight{at: judgedAt.Add(time.Hour)}, past)
	if len(past) != 0 {
		t.Errorf("%d things are remembered for ever", len(past))
	}
}
