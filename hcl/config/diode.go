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
	// PreviousPairing names the keys before them, which the receiving end still takes; "" = none.
	PreviousPairing string
	Send            DiodeSend
	Receive         DiodeReceive
	FEC             FEC
}

// DiodeSend is the sending end.
type DiodeSend struct {
	Interface      string
	Source         netip.Addr
	Destination    netip.AddrPort
	DestinationMAC net.HardwareAddr // nil = a static neighbour exists
	Rate           int64            // bits per second on the wire, headers included
	ResendRate     int64            // of Rate, what sending again may use; below Rate
	KeepSent       time.Duration
	MTU            int // bytes of the largest IP packet
}

// DiodeReceive is the receiving end.
type DiodeReceive struct {
	Interface  string
	Listen     netip.AddrPort
	Source     netip.Addr    // from which frames come
	AlarmAfter time.Duration // without a heartbeat
	HoleAfter  time.Duration // on a quiet link; longer than the last repeat of any class
	Capture    string        // CaptureSocket or CapturePacket
	Memory     int64         // bytes of what waits for its turn or for the disk
	WhenFull   string        // what of this diode is given up when the spool is full: "drop-new" or "drop-oldest"
}

// How frames are taken from the receiving interface.
const (
	CaptureSocket = "socket" // a UDP socket
	CapturePacket = "packet" // a TPACKET ring: the interface needs no IP address (packet(7))
)

// FEC is what is sent in addition so that lost frames can be computed.
type FEC struct {
	Parity     float64 // repair frames per data frame: 0.25 is one per four
	DesignLoss float64 // fraction of frames that small blocks must survive
	Interleave int     // blocks
	MaxDelay   time.Duration
	Repeat     []time.Duration // each batch again after these times, rising
	Critical   ClassFEC        // of the critical class; complete, also where nothing was written
}

// ClassFEC is what a class may have of its own; its fields are those of FEC. Interleaving is for the bulk class alone.
type ClassFEC struct {
	Parity     float64
	DesignLoss float64
	MaxDelay   time.Duration
	Repeat     []time.Duration
}

// quietMargin is how long after the last repeat a batch may still be under way: far above the pacing delay of one
// batch at the slowest rate that is of use, far below what an operator notices.
const quietMargin = time.Second

func decodeDiode(s *section, name string) Diode {
	d := Diode{
		Name:    name,
		From:    nodeName(s.ref("from", "node")),
		To:      nodeName(s.ref("to", "node")),
		Pairing: s.pairing("pairing"),
		Send:    decodeDiodeSend(s.child("send")),
		FEC:     decodeFEC(s.child("fec")),
	}
	d.PreviousPairing = s.pairing("previous_pairing")
	if d.Pairing != "" && d.PreviousPairing == d.Pairing {
		s.wrong("diode-pairing", "previous_pairing", fmt.Sprintf("%q is the pairing itself", d.Pairing), "name the one before it, or leave the word out")
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
func (s *section) pairing(attr string) string {
	name, ok := read[string](s, attr)
	if ok && (name == "" || len(name) > 63 || strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "") {
		s.wrong("name", attr, fmt.Sprintf("%q cannot name a pairing", name), `use letters, digits, - and _, as in "2026-11"`)
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
	e.ResendRate = s.resendRate(e.Rate)
	return e
}

// defaultResendShare is the part of the rate that sending again may use unless something else is written: what is
// missing comes soon, and what is new is hardly slower.
const defaultResendShare = 4

func (s *section) resendRate(rate int64) int64 {
	again, ok := read[int64](s, "resend_rate")
	switch {
	case !s.has("resend_rate"):
		return rate / defaultResendShare
	case ok && rate > 0 && again >= rate:
		s.wrong("limits", "resend_rate", fmt.Sprintf("%s is not below rate, %s", value.Text(float64(again), value.BitRate), value.Text(float64(rate), value.BitRate)),
			"sending again must leave room for what is new")
	}
	return again
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
		Source:     s.addr("source"),
		AlarmAfter: get[time.Duration](s, "alarm_after"),
		HoleAfter:  get[time.Duration](s, "hole_after"),
		Capture:    get[string](s, "capture"),
		Memory:     get[int64](s, "memory"),
		WhenFull:   s.whenFull(),
	}
	if blocks := d.interleavedBytes(); r.Memory > 0 && r.Memory < blockShare*blocks {
		s.wrong("limits", "memory", value.Text(float64(r.Memory), value.Bytes)+" is too small for this interleave and mtu",
			fmt.Sprintf("a quarter of it is for blocks that are not complete, and fec.interleave = %d of them take %s: at least %s", d.FEC.Interleave, rounded(float64(blocks), "B"), rounded(float64(blockShare*blocks), "B")))
	}
	if !s.has("listen") {
		r.Listen = d.Send.Destination
	}
	if !s.has("source") {
		r.Source = d.Send.Source
	}
	changed := s.has("source") || s.has("listen")
	if changed && r.Source.IsValid() && r.Listen.IsValid() && r.Source.Is4() != r.Listen.Addr().Is4() {
		s.wrong("address", "source", "source and listen are not of one IP version", "both are IPv4 or both are IPv6")
	}
	repeated := d.FEC.lastRepeat()
	if !s.has("hole_after") {
		r.HoleAfter = repeated + quietMargin
	} else if r.HoleAfter > 0 && r.HoleAfter <= repeated {
		s.wrong("limits", "hole_after", "a gap would be declared before the last repeat comes", fmt.Sprintf("the last repeat is %s: choose more than that", value.Text(float64(repeated), value.Duration)))
	}
	return r
}

const (
	blockShards = 256 // frames of the largest block (GF(2^8))
	blockShare  = 4   // of the receiving end's memory a quarter is for blocks
)

// interleavedBytes is the most that blocks take which are interleaved with each other.
func (d Diode) interleavedBytes() int64 {
	return int64(d.FEC.Interleave) * blockShards * int64(d.Send.MTU)
}

// whenFull reads the policy of the receiving end; it is settled later where it was left out.
func (s *section) whenFull() string {
	a, there := s.attrs["when_full"]
	if !there {
		return ""
	}
	if v, diags := value.Read(a.Expr, s.d.ctx, value.String, value.Limits{}); !diags.HasErrors() && v == "refuse" {
		s.wrong("when-full", "when_full", "nobody can be told to wait through a diode", `write "drop-new" or "drop-oldest": whole batches are then dropped, counted and named as gaps, which can be sent again`)
		return ""
	}
	return get[string](s, "when_full")
}

// lastRepeat is the last repeat of any class.
func (f FEC) lastRepeat() time.Duration {
	return max(last(f.Repeat), last(f.Critical.Repeat))
}

func last(repeats []time.Duration) time.Duration {
	if len(repeats) == 0 {
		return 0
	}
	return repeats[len(repeats)-1]
}

func decodeFEC(s *section) FEC {
	f := FEC{
		Parity:     get[float64](s, "parity"),
		DesignLoss: get[float64](s, "design_loss"),
		Interleave: int(get[int64](s, "interleave")),
		MaxDelay:   get[time.Duration](s, "max_delay"),
		Repeat:     s.repeats(),
	}
	f.Critical = decodeCritical(s.child("critical"), f)
	return f
}

// decodeCritical gives the critical class what it has of its own, and the rest as it is for all.
func decodeCritical(s *section, outer FEC) ClassFEC {
	c := ClassFEC{Parity: outer.Parity, DesignLoss: outer.DesignLoss, MaxDelay: outer.MaxDelay, Repeat: outer.Repeat}
	if s.has("parity") {
		c.Parity = get[float64](s, "parity")
	}
	if s.has("design_loss") {
		c.DesignLoss = get[float64](s, "design_loss")
	}
	if s.has("max_delay") {
		c.MaxDelay = get[time.Duration](s, "max_delay")
	}
	if s.has("repeat") {
		c.Repeat = s.repeats()
	}
	return c
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
