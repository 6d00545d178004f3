package netlab

import (
	"encoding/json"
	"fmt"
	"math"
)

// OneWay is a forwarder that passes frames from one interface to the other and
// never back, and loses some on the way.
type OneWay struct {
	n       *Namespace
	in, out string
}

// Counts are the counters of a OneWay: frames, and bytes with IP header.
type Counts struct {
	Seen, SeenBytes uint64 // came in
	Lost            uint64 // of these, dropped at random
	Returned        uint64 // came from the far side, all dropped
}

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
	lose := ""
	if parts := int(math.Round(percent * 1000)); parts > 0 {
		lose = fmt.Sprintf("numgen random mod 100000 < %d counter name lost drop", parts)
	}
	o.n.Nft(fmt.Sprintf(`
table netdev oneway
delete table netdev oneway
table netdev oneway {
	counter seen {
	}
	counter lost {
	}
	counter returned {
	}
	chain there {
		type filter hook ingress device "%s" priority 0
		counter name seen
		%s
		fwd to "%s"
	}
	chain back {
		type filter hook ingress device "%s" priority 0
		counter name returned drop
	}
}
`, o.in, lose, o.out, o.out))
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
