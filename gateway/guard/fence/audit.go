package fence

import (
	"fmt"
	"strings"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

// Audit reads back what the last plan asked for. It changes nothing in the
// kernel. An interface that is gone has no barrier.
func (f *Fence) Audit() (Findings, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, err := f.kernel.read(f.look(f.plan))
	if err != nil {
		return Findings{}, fmt.Errorf("guard: fence: audit: %w", err)
	}
	out := Findings{Input: f.auditInput(now)}
	if !out.Input.OK {
		out.Drifts = append(out.Drifts, Drift{What: out.Input.Name + " " + out.Input.Text})
	}
	for _, t := range f.plan.Targets {
		if l, ok := now.links[t.Index]; ok {
			(&inspection{Fence: f, now: now, target: t, link: l, out: &out}).run()
		}
	}
	return out, nil
}

func (f *Fence) auditInput(now state) guard.Check {
	c := guard.Check{Name: "nft input", OK: true}
	switch {
	case !f.has.nft:
		c.Text = "this kernel has no nftables"
	case !now.input.there:
		c.OK, c.Text = false, "is gone"
	case !f.inputStands(f.plan, now):
		c.OK, c.Text = false, "is not as it was applied"
	}
	return c
}

// inspection is the look at one interface.
type inspection struct {
	*Fence
	now    state
	target Target
	link   linkState
	out    *Findings
}

func (i *inspection) run() {
	b := guard.Barrier{Interface: i.link.name, Index: i.target.Index, Role: i.target.Role, Dropped: map[string]uint64{}}
	b.Egress, b.Ingress = i.drops(egress, b.Dropped), i.drops(ingress, b.Dropped)
	b.Quiet = append(i.quiet(), i.addresses()...)
	i.relatives()
	b.Sent = i.sent()
	if i.link.xdp {
		i.breach("an XDP program is attached")
	}
	i.out.Barriers = append(i.out.Barriers, b)
}

func (i *inspection) drift(format string, args ...any) {
	i.out.Drifts = append(i.out.Drifts, Drift{i.target.Index, i.link.name, fmt.Sprintf(format, args...)})
}

func (i *inspection) breach(format string, args ...any) {
	i.out.Breaches = append(i.out.Breaches, Breach{i.target.Index, i.link.name, fmt.Sprintf(format, args...)})
}

// drops looks at both kinds of drop in one direction.
func (i *inspection) drops(dir direction, dropped map[string]uint64) []guard.Check {
	var out []guard.Check
	at := spot{i.target.Index, dir}
	if i.has.nft {
		c := i.now.chains[at.chainName()]
		out = append(out, i.check("nft "+string(dir), i.now.chainStands(i.target, dir), c.wrong(i.link.name)))
		dropped["nft "+string(dir)] = c.dropped
	}
	if i.has.tc {
		p := i.now.programs[at]
		out = append(out, i.check("tc "+string(dir), i.now.programStands(i.target, dir), p.wrong()))
		dropped["tc "+string(dir)] = p.dropped
	}
	return out
}

// check is one drop as it was found; what is wrong with it is a drift as well.
func (i *inspection) check(name string, ok bool, wrong string) guard.Check {
	if ok {
		return guard.Check{Name: name, OK: true}
	}
	i.drift("%s %s", name, wrong)
	return guard.Check{Name: name, Text: wrong}
}

// wrong says what is wrong with a chain before an interface.
func (c chainState) wrong(name string) string {
	switch {
	case !c.there:
		return "is gone"
	case c.device != name:
		return fmt.Sprintf("stands before %q", c.device)
	default:
		return "is not as it was applied"
	}
}

func (i *inspection) quiet() []guard.Check {
	settings := i.target.quiet()
	out := make([]guard.Check, 0, len(settings)+1)
	for _, s := range settings {
		value, there := i.now.settings[i.target.Index][s.name]
		out = append(out, i.check(s.name, s.met(value, there), fmt.Sprintf("is %s, want %s", value, s.want)))
	}
	return out
}

// addresses of a monitoring point make the kernel answer by it.
func (i *inspection) addresses() []guard.Check {
	if i.target.Role != guard.Monitoring {
		return nil
	}
	c := guard.Check{Name: "no address", OK: len(i.link.addrs) == 0}
	for _, addr := range i.link.addrs {
		i.drift("has address %s", addr)
		c.Text = strings.TrimPrefix(c.Text+", has "+addr.String(), ", ")
	}
	return []guard.Check{c}
}

// relatives looks for a master or a child that appeared since the plan was
// applied. The drops hold in any case; whoever decides gives the relative the
// same role.
func (i *inspection) relatives() {
	was := i.fenced[i.target.Index]
	if was == nil || was.relatives == i.link.relatives {
		return
	}
	if i.link.relatives == "" {
		i.drift("has no relatives any more")
		return
	}
	i.drift("has relatives: %s", i.link.relatives)
}

// sent compares the transmit counter with what it was, and returns how many
// frames were sent since.
func (i *inspection) sent() uint64 {
	was := i.fenced[i.target.Index]
	if was == nil || !was.based {
		return 0
	}
	was.base = min(was.base, i.link.sent) // some drivers begin anew
	sent := i.link.sent - was.base
	if i.target.silent() {
		if sent > 0 {
			i.breach("sent %d frames since it was fenced", sent)
		}
		return sent
	}
	i.beyond(was, sent)
	return sent
}

// beyond compares what a sending link has sent with what our program let pass.
func (i *inspection) beyond(was *fencing, sent uint64) {
	p := i.now.programs[spot{i.target.Index, egress}]
	if !i.has.tc || !p.mine {
		return // the counter cannot be read; the drift says so
	}
	was.passed = min(was.passed, p.passed)
	passed := p.passed - was.passed
	if was.looks > 0 {
		was.looks--
		was.slack = passed
	}
	if allowed := passed + was.slack; sent > allowed {
		i.breach("sent %d frames beyond those of the link", sent-allowed)
	}
}
