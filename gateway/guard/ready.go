package guard

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// tendEvery is how often the neighbour entries of the sending ends are looked
// at without any event: setting an interface down and up throws them away.
// From the design.
const tendEvery = time.Second

// NotReadyError says why a link cannot send now. Sending anyway would lose
// what is sent: the kernel takes it without a word.
type NotReadyError struct {
	Interface string
	Cause     string
	Remedy    string // what an operator can do
	Passes    bool   // it may be over without anybody changing a setting
}

// Error names the side, the interface, the cause and the remedy.
func (e *NotReadyError) Error() string {
	return fmt.Sprintf("guard: send side: %s: %s: %s", e.Interface, e.Cause, e.Remedy)
}

// DiodeReady returns nil while a link may send to dest by the interface that
// the rule iface names: it is there, up, has carrier, carries packets of the
// link's MTU, and knows the far end's hardware address. Otherwise it says
// what is missing (NotReadyError, RefusedError or ErrUnknownState). The link
// must be one of Policy.SendEnds. The call costs a look into a map: it tells
// what the last event or the last second brought.
func (g *Guard) DiodeReady(iface string, dest netip.AddrPort) error {
	ready := g.ready.Load()
	if ready == nil {
		return ErrUnknownState
	}
	err, ok := (*ready)[endKey{iface, dest}]
	if !ok {
		return fmt.Errorf("guard: send side: no link of this node sends to %s by %q", dest, iface)
	}
	return err
}

// tend keeps every sending end in order, and notes which may send. The caller
// holds g.apply.
func (g *Guard) tend(verdicts []verdict, s stance) {
	before := g.ready.Load()
	now := make(map[endKey]error, len(g.policy.SendEnds))
	for _, e := range g.policy.SendEnds {
		err := s.notReady(e)
		if err == nil {
			err = g.tendOne(verdicts, e)
		}
		now[e.key()] = err
		g.reportEnd(e, before, err)
	}
	g.ready.Store(&now)
}

// notReady returns why no link may send, whatever its own end is like.
func (s stance) notReady(e SendEnd) error {
	switch {
	case s.tripped:
		return &NotReadyError{Interface: e.Interface, Cause: "the guard has tripped: " + s.reason, Remedy: "find out why, then: sluice guard reset", Passes: true}
	case !s.whole:
		return &NotReadyError{Interface: e.Interface, Cause: s.reason, Remedy: "see sluice guard status", Passes: true}
	}
	return nil
}

func (g *Guard) tendOne(verdicts []verdict, e SendEnd) error {
	v, err := pick(verdicts, e.Interface, forDiodeTX)
	if err != nil {
		return err
	}
	l := v.link
	if !l.up {
		return &NotReadyError{Interface: l.name, Cause: "it is down", Remedy: "set it up: ip link set " + l.name + " up", Passes: true}
	}
	neighbour := g.keepNeighbour(l, e) // also without carrier, so that it is there when that comes
	switch {
	case e.MTU > 0 && l.mtu < e.MTU:
		return &NotReadyError{
			Interface: l.name, Cause: fmt.Sprintf("its MTU of %d is below the link's mtu of %d", l.mtu, e.MTU),
			Remedy: fmt.Sprintf("ip link set %s mtu %d, or set the link's mtu to %d on both sides", l.name, e.MTU, l.mtu),
		}
	case neighbour != nil:
		return neighbour
	case !l.carrier:
		return &NotReadyError{
			Interface: l.name, Cause: "no carrier", Passes: true,
			Remedy: "plug the cable, or configure the media converter to keep its light on without a return fibre",
		}
	}
	return nil
}

// reportEnd logs when an end becomes ready, or unready for another reason.
func (g *Guard) reportEnd(e SendEnd, before *map[endKey]error, err error) {
	var was error
	known := false
	if before != nil {
		was, known = (*before)[e.key()]
	}
	if known && fmt.Sprint(was) == fmt.Sprint(err) {
		return
	}
	if err != nil {
		g.log.Warn("guard: link cannot send", "interface", e.Interface, "destination", e.Destination.String(), "error", err)
		return
	}
	g.log.Info("guard: link can send", "interface", e.Interface, "destination", e.Destination.String())
}

// openable returns what would make a socket of that end useless until a
// setting is changed. An end that the policy does not know is not examined.
func (g *Guard) openable(iface string, dest netip.AddrPort) error {
	g.apply.Lock()
	defer g.apply.Unlock()
	verdicts, err := g.current()
	if err != nil {
		return err
	}
	for _, e := range g.policy.SendEnds {
		if e.key() != (endKey{iface, dest}) {
			continue
		}
		err := g.tendOne(verdicts, e)
		if nr, ok := errors.AsType[*NotReadyError](err); ok && nr.Passes {
			return nil
		}
		return err
	}
	return nil
}
