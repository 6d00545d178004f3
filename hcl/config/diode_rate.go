package config

import (
	"fmt"

	"github.com/sluice-gateway/sluice/hcl/value"
)

// Bytes that a frame costs on the wire beside its data: preamble, header, checksum and gap of Ethernet (IEEE 802.3,
// section 4.2.3.2: 38 in all), IPv4 or IPv6 (RFC 791, RFC 8200) and UDP (RFC 768), and the frame's own header and tag.
const (
	wireEthernet = 38
	wireIPv4     = 20
	wireIPv6     = 40
	wireUDP      = 8
	wireFrame    = 64
)

// leastPayload is the share of the rate below which an operator is asked whether the protection is meant so (ours).
const leastPayload = 0.25

// heldShare is the share of a receiving end's memory for batches; the rest is for blocks.
const heldShare = 1 - 1.0/blockShare

// payloadShare is the share of the wire that is left for records of the bulk class, at most: repair frames that
// design_loss asks for beyond parity come on top.
func (d Diode) payloadShare() float64 {
	headers := float64(wireIPv4 + wireUDP + wireFrame)
	if d.Send.Source.Is6() {
		headers = wireIPv6 + wireUDP + wireFrame
	}
	mtu := float64(d.Send.MTU)
	return (mtu - headers) / (mtu + wireEthernet) / (1 + d.FEC.Parity) / float64(1+len(d.FEC.Repeat))
}

// checkDiodeRates warns of protection that leaves little for records, and of memory that does not last until the last
// repeat.
func (d *decoder) checkDiodeRates() {
	for _, x := range d.cfg.Diodes {
		share := x.payloadShare()
		payload := share * float64(x.Send.Rate) // bits per second
		if share < leastPayload {
			s := d.blockOf(x, "fec")
			at := s.rangeOf("repeat")
			if !s.has("repeat") {
				at = s.rangeOf("parity")
			}
			s.d.add(Problem{
				Range: at, Severity: Warning, Rule: "diode-rate", Component: s.address,
				Text:   fmt.Sprintf("of %s at most %s are left for records", rounded(float64(x.Send.Rate), "bit"), rounded(payload, "bit")),
				Advice: "parity and repeat take the rest: repeat only the critical class (fec.critical), or raise send.rate",
			})
		}
		d.checkHeld(x, payload)
	}
}

// checkHeld holds the memory of the receiving end against what arrives while a batch waits for its last repeat: all
// that is behind it.
func (d *decoder) checkHeld(x Diode, payload float64) {
	wait := last(x.FEC.Repeat)
	held := payload / 8 * wait.Seconds()
	if held <= heldShare*float64(x.Receive.Memory) {
		return
	}
	s := d.blockOf(x, "receive")
	s.d.add(Problem{
		Range: s.rangeOf("memory"), Severity: Warning, Rule: "diode-memory", Component: s.address,
		Text:   fmt.Sprintf("memory: up to %s wait behind a lost batch until its last repeat, %s, and memory is %s", rounded(held, "B"), value.Text(float64(wait), value.Duration), value.Text(float64(x.Receive.Memory), value.Bytes)),
		Advice: fmt.Sprintf("raise memory to %s, or repeat sooner: what finds no room is dropped and named as a gap", rounded(held/heldShare, "B")),
	})
}

// blockOf opens a nested block of a diode again; where it was left out, problems have the diode's place.
func (d *decoder) blockOf(x Diode, name string) *section {
	return d.where("diode." + x.Name).child(name)
}

// rounded prints a quantity with three digits, in a decimal unit.
func rounded(n float64, unit string) string {
	prefix := ""
	for _, p := range []string{"k", "M", "G", "T"} {
		if n < 999.5 { // what prints as 1000 belongs to the next
			break
		}
		n, prefix = n/1000, p
	}
	return fmt.Sprintf("%.3g%s%s", n, prefix, unit)
}
