package guard

import (
	"errors"
	"fmt"
	"slices"
)

// Accept makes the interface that a rule names one that was always there: it
// becomes a service interface, as far as the policy says nothing else, and is
// remembered as such. That also overrides what a mirror check found. An
// interface that could not become a service interface by that is refused with
// *RefusedError; an error of the memory leaves everything as it was.
func (g *Guard) Accept(name string) (Decision, error) {
	g.apply.Lock()
	defer g.apply.Unlock()
	if g.blind() {
		return Decision{}, fmt.Errorf("guard: accept %s: %w", name, ErrUnknownState)
	}
	found := match(name, g.links)
	if len(found) != 1 {
		return Decision{}, &RuleError{"interface", name, fmt.Sprintf("matches %d interfaces", len(found)), describeAll(g.links)}
	}
	l, before := found[0], slices.Clone(g.mem.accepted)
	g.mem.accept(l, g.links)
	v, _ := find(decide(g.policy, g.links, g.mem, g.mirrorWatch), l.index)
	err := refuseAccept(v, len(g.policy.Service) > 0)
	if err == nil {
		err = g.mem.save()
	}
	if err != nil {
		g.mem.accepted = before
		return v.Decision, errors.Join(err, g.mem.save())
	}
	g.log.Warn("guard: interface accepted", "interface", l.name, "mac", l.mac, "path", l.path)
	g.reconsider(g.links, false)
	return v.Decision, nil
}

func refuseAccept(v verdict, listed bool) error {
	switch {
	case v.Role == Service:
		return nil
	case v.Role == Closed && listed:
		return &RefusedError{v.Name, v.Role, v.Reason, "name it in service_interfaces"}
	case v.Role == Closed:
		return &RefusedError{v.Name, v.Role, v.Reason, "accepting it would not change that: change what the reason names"}
	default:
		return &RefusedError{
			v.Name, v.Role, v.Reason,
			"when it is to be a service interface, take it out of the configuration as what it is, and name it in service_interfaces by mac: or path:",
		}
	}
}

// Change gives a running guard another policy. What the new one does not allow
// is closed and reset before Change returns; with a fence, what it allows is
// opened once that stands as the new policy wants it. Order the fence
// afterwards. A policy that New would refuse changes nothing.
func (g *Guard) Change(p Policy) error {
	if err := p.check(); err != nil {
		return err
	}
	links, err := g.kernel.Links()
	if err != nil {
		return err
	}
	if err := checkRules(p, links); err != nil {
		return err
	}
	g.apply.Lock()
	defer g.apply.Unlock()
	before := g.policy
	g.policy = p
	if err := g.wantFenceFor(decide(p, links, newMemory(), 0)); err != nil {
		g.policy = before
		return err
	}
	g.mem.forget(p, links)
	g.reconsider(links, false)
	return nil
}
