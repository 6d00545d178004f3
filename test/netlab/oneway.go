package netlab

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
)

// OneWay is a forwarder that passes frames from one interface to the other and
// never back, and can lose some on the way.
type OneWay struct {
	n       *Namespace
	in, out string
}

// Counts are the counters of a OneWay: frames with UDP, and bytes with IP
// header. Other frames never pass.
type Counts struct {
	Seen, SeenBytes uint64 // came in
	Lost            uint64 // of these, dropped
	Doubled         uint64 // of these, passed on twice
	Returned        uint64 // came from the far side, all dropped
}

// Faults say what a OneWay does to frames. The zero value passes them all.
type Faults struct {
	Lose   float64 // percent dropped at random, each for itself, in steps of 0.001
	Double float64 // percent passed on twice, in steps of 0.001
	Burst  int     // the last so many in a row are dropped …
	Every  int     // … of so many
	First  int     // the first so many are dropped
	Cut    bool    // all are dropped
}

// rules are nft statements in the order in which they act.
func (f Faults) rules(out string) string {
	const drop = "counter name lost drop\n"
	var b strings.Builder
	if f.Cut {
		b.WriteString(drop)
	}
	if f.First > 0 {
		// numgen counts up from 0 and comes round after 2^32 - 1 frames.
		fmt.Fprintf(&b, "numgen inc mod %d < %d %s", uint32(math.MaxUint32), f.First, drop)
	}
	if f.Burst > 0 {
		fmt.Fprintf(&b, "numgen inc mod %d >= %d %s", f.Every, f.Every-f.Burst, drop)
	}
	if parts := thousandths(f.Lose); parts > 0 {
		fmt.Fprintf(&b, "numgen random mod 100000 < %d %s", parts, drop)
	}
	if parts := thousandths(f.Double); parts > 0 {
		fmt.Fprintf(&b, "numgen random mod 100000 < %d counter name doubled dup to \"%s\"\n", parts, out)
	}
	return b.String()
}

func thousandths(percent float64) int { return int(math.Round(percent * 1000)) }

// Forward makes the namespace pass what comes in by the interface in to the
// interface out, and nothing the other way.
func (n *Namespace) Forward(in, out string) *OneWay {
	n.t.Helper()
	for _, iface := range []string{in, out} {
		n.Sysctl("net.ipv6.conf."+iface+".disable_ipv6", "1")
		n.Run("ip", "link", "set", iface, "arp", "off", "promisc", "on")
	}
	o := &OneWay{n, in, out}
	o.Lose(0)
	return o
}

// Lose drops frames at random, each with the given probability in percent
// (0 to 100, in steps of 0.001), and sets the counters back to zero.
func (o *OneWay) Lose(percent float64) {
	o.n.t.Helper()
	o.Set(Faults{Lose: percent})
}

// Set replaces the faults and sets the counters back to zero.
func (o *OneWay) Set(f Faults) {
	o.n.t.Helper()
	o.load(f.rules(o.out) + fmt.Sprintf("fwd to \"%s\"", o.out))
}

// load makes the frames that come in go through the rules.
func (o *OneWay) load(rules string) {
	o.n.t.Helper()
	o.n.Nft(fmt.Sprintf(`
table netdev oneway
delete table netdev oneway
table netdev oneway {
	counter seen {
	}
	counter lost {
	}
	counter doubled {
	}
	counter returned {
	}
	chain there {
		type filter hook ingress device "%s" priority 0
		meta l4proto != udp drop
		counter name seen
		%s
	}
	chain back {
		type filter hook ingress device "%s" priority 0
		counter name returned drop
	}
}
`, o.in, rules, o.out))
}

// Counts reads the counters.
func (o *OneWay) Counts() Counts {
	o.n.t.Helper()
	var list struct {
		NFTables []struct {
			Counter struct {
				Name           string
				Packets, Bytes uint64
			}
		}
	}
	out := o.n.Run("nft", "-j", "list", "counters", "table", "netdev", "oneway")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		o.n.t.Fatalf("netlab: nft counters: %v: %s", err, out)
	}
	var c Counts
	for _, e := range list.NFTables {
		switch e.Counter.Name {
		case "seen":
			c.Seen, c.SeenBytes = e.Counter.Packets, e.Counter.Bytes
		case "lost":
			c.Lost = e.Counter.Packets
		case "doubled":
			c.Doubled = e.Counter.Packets
		case "returned":
			c.Returned = e.Counter.Packets
		}
	}
	return c
}

// MeanRun returns the mean length of the runs of true: how many frames were
// lost in a row. Independent loss of probability p gives 1/(1-p).
func MeanRun(lost []bool) float64 {
	total, runs := 0, 0
	for i, l := range lost {
		if !l {
			continue
		}
		total++
		if i == 0 || !lost[i-1] {
			runs++
		}
	}
	if runs == 0 {
		return 0
	}
	return float64(total) / float64(runs)
}
