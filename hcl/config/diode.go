package config

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/hcl/value"
)

// Diode is a one-way link with both its ends.
type Diode struct {
	Name    string
	From    string // name of the sending node
	To      string // name of the receiving node
	Pairing string // names the keys
	Send    DiodeSend
	Receive DiodeReceive
	FEC     FEC
}

// DiodeSend is the sending end.
type DiodeSend struct {
	Interface      string
	Source         netip.Addr
	Destination    netip.AddrPort
	DestinationMAC net.HardwareAddr // nil = a static neighbour exists
	Rate           int64            // bits per second on the wire, headers included
	KeepSent       time.Duration
	MTU            int // bytes of the largest IP packet
}

// DiodeReceive is the receiving end.
type DiodeReceive struct {
	Interface  string
	Listen     netip.AddrPort
	AlarmAfter time.Duration // without a heartbeat
	HoleAfter  time.Duration // on a quiet link; longer than the last repeat
}

// FEC is what is sent in addition so that lost frames can be computed.
type FEC struct {
	Parity     float64 // repair frames per data frame: 0.25 is one per four
	DesignLoss float64 // fraction of frames that small blocks must survive
	Interleave int     // blocks
	MaxDelay   time.Duration
	Repeat     []time.Duration // each batch again after these times, rising
}

// quietMargin is how long after the last repeat a batch may still be under way: far above the pacing delay of one
// batch at the slowest rate that is of use, far below what an operator notices.
const quietMargin = time.Second

func decodeDiode(s *section, name string) Diode {
	d := Diode{
		Name:    name,
		From:    nodeName(s.ref("from", "node")),
		To:      nodeName(s.ref("to", "node")),
		Pairing: s.pairing(),
		Send:    decodeDiodeSend(s.child("send")),
		FEC:     decodeFEC(s.child("fec")),
	}
	d.Receive = decodeDiodeReceive(s.child("receive"), d)
	if d.From != "" && d.From == d.To {
		s.wrong("diode-ends", "to", "both ends are node."+d.From, "a diode joins two nodes")
	}
	return d
}

// nodeName strips the kind from a resolved address.
func nodeName(address string) string { return strings.TrimPrefix(address, "node.") }

// pairing reads what names the keys: it must be fit for the name of a file.
func (s *section) pairing() string {
	name, ok := read[string](s, "pairing")
	if ok && (name == "" || len(name) > 63 || strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "") {
		s.wrong("name", "pairing", fmt.Sprintf("%q cannot name a pairing", name), `use letters, digits, - and _, as in "2026-11"`)
	}
	return name
}

func decodeDiodeSend(s *section) DiodeSend {
	e := DiodeSend{
		Interface:      s.diodeInterface(),
		Source:         s.addr("source"),
		Destination:    s.addrPort("destination"),
		DestinationMAC: s.mac("destination_mac"),
		Rate:           get[int64](s, "rate"),
		KeepSent:       get[time.Duration](s, "keep_sent"),
		MTU:            int(get[int64](s, "mtu")),
	}
	if e.Source.IsValid() && e.Destination.IsValid() && e.Source.Is4() != e.Destination.Addr().Is4() {
		s.wrong("address", "source", "source and destination are not of one IP version", "both are IPv4 or both are IPv6")
	}
	return e
}

func (s *section) diodeInterface() string {
	name, ok := read[string](s, "interface")
	if ok {
		s.checkInterface("interface", name)
	}
	return name
}

func decodeDiodeReceive(s *section, d Diode) DiodeReceive {
	r := DiodeReceive{
		Interface:  s.diodeInterface(),
		Listen:     s.addrPort("listen"),
		AlarmAfter: get[time.Duration](s, "alarm_after"),
		HoleAfter:  get[time.Duration](s, "hole_after"),
	}
	if !s.has("listen") {
		r.Listen = d.Send.Destination
	}
	last := d.FEC.lastRepeat()
	if !s.has("hole_after") {
		r.HoleAfter = last + quietMargin
	} else if r.HoleAfter > 0 && r.HoleAfter <= last {
		s.wrong("limits", "hole_after", "a gap would be declared before the last repeat comes", fmt.Sprintf("the last fec.repeat is %s: choose more than that", value.Text(float64(last), value.Duration)))
	}
	return r
}

func (f FEC) lastRepeat() time.Duration {
	if len(f.Repeat) == 0 {
		return 0
	}
	return f.Repeat[len(f.Repeat)-1]
}

func decodeFEC(s *section) FEC {
	return FEC{
		Parity:     get[float64](s, "parity"),
		DesignLoss: get[float64](s, "design_loss"),
		Interleave: int(get[int64](s, "interleave")),
		MaxDelay:   get[time.Duration](s, "max_delay"),
		Repeat:     s.repeats(),
	}
}

// maxRepeat bounds how long a batch is kept waiting for its repeats.
const maxRepeat = 10 * time.Minute

// repeats reads a rising list of durations.
func (s *section) repeats() []time.Duration {
	var out []time.Duration
	for _, e := range s.list("repeat") {
		t, err := value.ParseDuration(e.Text)
		switch {
		case err != nil:
			s.problem("value", e.Range, fmt.Sprintf("repeat: %q is not a duration: %v", e.Text, err), `write it as in ["2s"]`)
			return nil
		case t <= 0 || t > maxRepeat:
			s.problem("value", e.Range, fmt.Sprintf("repeat: %q is out of range", e.Text), "more than 0, at most 10m")
			return nil
		case len(out) > 0 && t <= out[len(out)-1]:
			s.problem("value", e.Range, "repeat: the times do not rise", `write them in order, as in ["500ms", "2s"]`)
			return nil
		}
		out = append(out, t)
	}
	return out
}
