package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"

	"github.com/sluice-gateway/sluice/test/netlab"
)

// loss is what the third namespace does to the frames that pass it.
type loss struct {
	name    string
	percent float64 // of frames, each on its own
	burst   int     // frames in a row …
	every   int     // … of so many
}

func (x loss) none() bool { return x.percent == 0 && x.burst == 0 }

// share of frames that are lost.
func (x loss) share() float64 {
	if x.burst > 0 {
		return float64(x.burst) / float64(x.every)
	}
	return x.percent / 100
}

// run is the mean number of frames lost in a row.
func (x loss) run() float64 {
	if x.burst > 0 {
		return float64(x.burst)
	}
	return 1 / (1 - x.share())
}

// rule is the condition in the language of nft(8). Bursts stand in the middle of their period: at its beginning they
// would hit the first frames of every run, which no yardstick survives.
func (x loss) rule() string {
	switch {
	case x.burst > 0:
		first := x.every / 2
		return fmt.Sprintf("numgen inc mod %d %d-%d counter name lost drop", x.every, first, first+x.burst-1)
	case x.percent > 0:
		return fmt.Sprintf("numgen random mod 100000 < %d counter name lost drop", int(math.Round(x.percent*1000)))
	default:
		return ""
	}
}

// wire is the third namespace: a cable that loses.
type wire struct{ in *netlab.Namespace }

// wireCounts are frames that came in, and those of them that were lost.
type wireCounts struct{ seen, lost uint64 }

// set makes the wire lose, and its counters begin at zero.
func (w *wire) set(ctx context.Context, x loss) error {
	return nft(ctx, w.in, fmt.Sprintf(`
table netdev oneway
delete table netdev oneway
table netdev oneway {
	counter seen {
	}
	counter lost {
	}
	chain there {
		type filter hook ingress device %q priority 0
		counter name seen
		%s
		fwd to %q
	}
	chain back {
		type filter hook ingress device %q priority 0
		drop
	}
}
`, wireIn, x.rule(), wireOut, wireOut))
}

// counts reads the counters.
func (w *wire) counts(ctx context.Context) (wireCounts, error) {
	text, err := inside(ctx, w.in, nil, "nft", "-j", "list", "counters", "table", "netdev", "oneway")
	if err != nil {
		return wireCounts{}, err
	}
	return parseCounters([]byte(text))
}

func parseCounters(b []byte) (wireCounts, error) {
	var list struct {
		NFTables []struct {
			Counter struct {
				Name    string
				Packets uint64
			}
		}
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return wireCounts{}, fmt.Errorf("nft counters: %w: %s", err, b)
	}
	var c wireCounts
	for _, e := range list.NFTables {
		switch e.Counter.Name {
		case "seen":
			c.seen = e.Counter.Packets
		case "lost":
			c.lost = e.Counter.Packets
		}
	}
	return c, nil
}
