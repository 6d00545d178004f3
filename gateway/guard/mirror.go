package guard

import (
	"context"
	"fmt"
	"net"
	"time"
)

// Values of Mirror.Verdict.
const (
	MirrorOrdinary  = "ordinary"  // what arrives is for this machine
	MirrorPort      = "mirror"    // what arrives is for others: somebody mirrors it here
	MirrorUndecided = "undecided" // too little arrived to tell; that is not "safe"
)

const (
	// defaultMirrorWatch is how long CheckMirror looks. From the design.
	defaultMirrorWatch = 10 * time.Second
	// foreignPercent of the unicast frames, and more, make a mirror port. From
	// the design: a switch floods an ordinary port with far less.
	foreignPercent = 20
	// enoughFrames is how many unicast frames it takes to tell. From the
	// design.
	enoughFrames = 20
)

// Mirror is what looking at an interface brought.
type Mirror struct {
	Verdict string    `json:"verdict"`
	Unicast uint64    `json:"unicast"` // frames for one machine
	Foreign uint64    `json:"foreign"` // of them, for another than this
	Text    string    `json:"text"`    // in words, with what to do
	At      time.Time `json:"at"`
}

// frameCount is what CheckMirror counts.
type frameCount struct{ unicast, foreign uint64 }

// take counts one frame, whole or its beginning. Frames for groups and for
// everybody reach every port and tell nothing.
func (c *frameCount) take(head []byte, ours map[string]bool) {
	const group = 1 // the lowest bit of the first byte, IEEE 802.3 section 3.2.3
	if len(head) < offIP || head[0]&group != 0 {
		return
	}
	c.unicast++
	if !ours[string(head[:6])] {
		c.foreign++
	}
}

// verdict judges what was counted on an interface.
func (c frameCount) verdict(name string) Mirror {
	m := Mirror{Unicast: c.unicast, Foreign: c.foreign, At: time.Now().UTC().Truncate(time.Second)}
	switch {
	case c.unicast < enoughFrames:
		m.Verdict = MirrorUndecided
		m.Text = fmt.Sprintf("%s is idle: %d unicast frames, too few to tell it from a mirror port", name, c.unicast)
	case c.foreign*100 > foreignPercent*c.unicast:
		m.Verdict = MirrorPort
		m.Text = fmt.Sprintf("%s looks like a mirror port: %d %% of %d unicast frames are for other machines: declare it in monitoring_points",
			name, c.foreign*100/c.unicast, c.unicast)
	default:
		m.Verdict = MirrorOrdinary
		m.Text = fmt.Sprintf("%s is an ordinary port: %d of %d unicast frames are for other machines", name, c.foreign, c.unicast)
	}
	return m
}

// ownAddresses are those that this machine answers to, as bytes. Frames for a
// child or a master of an interface are as much its own.
func ownAddresses(links []link) map[string]bool {
	out := map[string]bool{}
	for _, l := range links {
		for _, text := range []string{l.mac, l.permMAC} {
			if mac, err := net.ParseMAC(text); err == nil {
				out[string(mac)] = true
			}
		}
	}
	return out
}

// CheckMirror looks at what arrives at the interface that a rule names, for
// Options.MirrorWatch or 10 s, and tells whether somebody mirrors traffic to
// it. It sends nothing; the interface is in promiscuous mode meanwhile. The
// verdict counts from then on: a service interface that looks like a mirror
// port is closed. Ending ctx sooner is an error.
func (g *Guard) CheckMirror(ctx context.Context, name string) (Mirror, error) {
	links, err := g.kernel.Links()
	if err != nil {
		return Mirror{}, err
	}
	found := match(name, links)
	if len(found) != 1 {
		return Mirror{}, &RuleError{"interface", name, fmt.Sprintf("matches %d interfaces", len(found)), describeAll(links)}
	}
	if found[0].loopback {
		return Mirror{}, fmt.Errorf("guard: %s is the loopback interface, which no mirror port can feed", found[0].name)
	}
	m, err := g.lookAt(ctx, found[0], links)
	if err != nil {
		return Mirror{}, err
	}
	g.learnMirror(found[0], m)
	return m, nil
}

func (g *Guard) lookAt(ctx context.Context, l link, links []link) (Mirror, error) {
	d := g.mirrorWatch
	if d == 0 {
		d = defaultMirrorWatch
	}
	inner, stop := context.WithTimeout(ctx, d)
	defer stop()
	seen, err := g.watcher.Count(inner, l.index, l.name, ownAddresses(links))
	if err == nil {
		err = ctx.Err() // a shorter look is none
	}
	if err != nil {
		return Mirror{}, fmt.Errorf("guard: mirror check of %s: %w", l.name, err)
	}
	return seen.verdict(l.name), nil
}
