package warden

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/fence"
)

// rootUID is whose word is an operator's: who may weaken what is guarded.
const rootUID = 0

// RootError refuses what only root may ask for.
type RootError struct {
	Verb string `json:"verb"` // as in the protocol
	UID  int    `json:"uid"`  // who asked
}

// Error names the verb and the remedy.
func (e *RootError) Error() string {
	return fmt.Sprintf("guard: warden: user %d may not %s, only root may: sudo sluice guard %s --reason TEXT", e.UID, e.Verb, e.Verb)
}

// byOperator returns who asks and why, when it is an operator who does.
func (l *loop) byOperator(c call) (By, error) {
	by, err := argument[By](c)
	if err == nil {
		err = by.check()
	}
	if err == nil && c.peer.uid != l.operator {
		err = &RootError{Verb: c.verb, UID: c.peer.uid}
		l.log.Warn("guard: refused", "verb", c.verb, "uid", c.peer.uid, "pid", c.peer.pid, "who", by.Who, "reason", by.Reason)
	}
	return by, err
}

// errUnread stands for a policy of which nobody knows what it guards.
const errUnread = "the policy in force cannot be read, so it may have guarded more"

// lessThanNow says in words what p would no longer guard.
func (l *loop) lessThanNow(p guard.Policy) []string {
	switch {
	case l.unread:
		return []string{errUnread}
	case l.policy == nil:
		return nil
	}
	return weaker(*l.policy, p)
}

// lessHere compares what would stand before the interfaces of this machine
// with what does: two rules may name the same one.
func (l *loop) lessHere(p guard.Policy, next *deciding) []string {
	if l.policy == nil {
		return nil
	}
	decisions := next.inbox.latest()
	here := slices.DeleteFunc(slices.Clone(l.scene.decisions), func(d guard.Decision) bool {
		return d.Reason == isolatedReason || !slices.ContainsFunc(decisions, func(n guard.Decision) bool { return n.Index == d.Index })
	})
	return lessFenced(fence.PlanFor(*l.policy, here).Targets, fence.PlanFor(p, decisions).Targets,
		func(o, n fence.Target) bool { return o.Index == n.Index })
}

// permit lets an order that weakens pass when it is an operator's.
func (l *loop) permit(c call, p guard.Policy, what []string) error {
	if len(what) == 0 || c.peer.uid == l.operator {
		return nil
	}
	return &WeakerError{What: what, Node: p.Node}
}

// portsMost bounds the ports that one policy drops. Ours: many times the
// receivers of any node; a policy has to travel in one message.
const portsMost = 4096

// keepPorts adds ports of the policy in force. Who is no operator cannot take
// one away: one whose receiver is closed for now stays dropped elsewhere, and
// goes with the next order of an operator.
func (l *loop) keepPorts(p *guard.Policy, keep func(guard.Port) bool) error {
	p.Ports = slices.Clone(p.Ports)
	if l.policy != nil {
		for _, port := range l.policy.Ports {
			if keep(port) && !slices.Contains(p.Ports, port) {
				p.Ports = append(p.Ports, port)
			}
		}
	}
	if len(p.Ports) > portsMost {
		return fmt.Errorf("%w: %d, at most %d", errPorts, len(p.Ports), portsMost)
	}
	return nil
}

// errPorts refuses a policy that no node needs.
var errPorts = errors.New("guard: warden: too many ports are to be dropped")
