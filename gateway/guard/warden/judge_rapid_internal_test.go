package warden

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/fence"
)

// TestJudgeModel plays any series of looks at one interface: it trips exactly
// when frames left, could have left, or the same was restored too often.
func TestJudgeModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		past, at := wear{}, judgedAt
		var restores []time.Time
		for range rapid.IntRange(1, 60).Draw(t, "looks") {
			at = at.Add(time.Duration(rapid.IntRange(1, 30).Draw(t, "seconds")) * time.Second)
			nft, tc := rapid.Bool().Draw(t, "nft"), rapid.Bool().Draw(t, "tc")
			up, left := rapid.Bool().Draw(t, "up"), rapid.IntRange(0, 9).Draw(t, "left") == 0
			s := sight{at: at, up: map[int]bool{3: up}, findings: fence.Findings{Barriers: []guard.Barrier{seen(3, nft, tc)}}}
			if left {
				s.findings.Breaches = []fence.Breach{{Index: 3, Interface: "mon3", Cause: "sent 1 frame"}}
			}
			want := left || up && !nft && !tc
			if !nft || !tc {
				s.findings.Drifts = []fence.Drift{drift(3, "a drop is gone")}
				restores = append(slices.DeleteFunc(restores, func(r time.Time) bool { return at.Sub(r) > restoresWithin }), at)
				want = want || len(restores) > restoresMost
			}
			if j := judge(s, past); len(j.trips) > 1 || (len(j.trips) == 1) != want || len(j.restored) != len(s.findings.Drifts) {
				t.Fatalf("%+v: %s, want a trip: %v", s, j.text(), want)
			}
		}
	})
}
