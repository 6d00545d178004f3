package warden

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/fence"
)

// WeakerError refuses a policy that would guard less than the one in force,
// ordered by somebody else than root: the process that parses what comes from
// networks must not be able to take drops away, also when it was taken over.
type WeakerError struct {
	What []string `json:"what"` // what would no longer be guarded, in words
	Node string   `json:"node"`
}

// Error names what would no longer be guarded, and who may order that.
func (e *WeakerError) Error() string {
	return fmt.Sprintf("guard: warden: this policy guards less than the one in force: %s; only root may order that: "+
		"sudo sluice guard order --config DIR --node %s (a restart of sluice.service does it)", strings.Join(e.What, "; "), e.Node)
}

// weaker says in words what p would no longer guard that old does; nothing
// when it guards the same or more. Rules are compared as they are written: a
// rule that names the same interface in other words is another one.
func weaker(old, p guard.Policy) []string {
	what := lessFenced(targets(old), targets(p), func(o, n fence.Target) bool { return o.Name == n.Name })
	what = append(what, moreServed(old, p)...)
	for _, port := range old.Ports {
		if !slices.Contains(p.Ports, port) {
			what = append(what, fmt.Sprintf("%s port %d would not be dropped on other interfaces than service interfaces", port.Network, port.Port))
		}
	}
	if old.NewInterfaces != guard.NewService && p.NewInterfaces == guard.NewService {
		what = append(what, "interfaces that appear later could become service interfaces by themselves")
	}
	if old.Isolate && !p.Isolate {
		what = append(what, "monitoring points would leave their namespace")
	}
	if !old.SingleBarrier && p.SingleBarrier {
		what = append(what, "one egress drop would suffice instead of two")
	}
	return what
}

// moreServed lists what would become a service interface. A list that was
// empty stood for every interface that is nothing else.
func moreServed(old, p guard.Policy) []string {
	if len(old.Service) == 0 {
		return nil
	}
	if len(p.Service) == 0 {
		return []string{"every interface that is nothing else would be a service interface"}
	}
	var what []string
	for _, rule := range p.Service {
		if !slices.Contains(old.Service, rule) {
			what = append(what, rule+" would be a service interface")
		}
	}
	return what
}

// targets are what a policy asks for, as if each rule named an interface that
// is called like it.
func targets(p guard.Policy) []fence.Target {
	roles := map[string]guard.Role{}
	for _, list := range []struct {
		rules []string
		role  guard.Role
	}{{p.DiodeRX, guard.DiodeRX}, {p.DiodeTX, guard.DiodeTX}, {p.Monitoring, guard.Monitoring}} { // as it is decided: the last one counts
		for _, rule := range list.rules {
			roles[rule] = list.role
		}
	}
	var decisions []guard.Decision
	for rule, role := range roles {
		decisions = append(decisions, guard.Decision{Name: rule, Role: role, Rules: []string{rule}})
	}
	slices.SortFunc(decisions, func(a, b guard.Decision) int { return strings.Compare(a.Name, b.Name) })
	return fence.PlanFor(p, decisions).Targets
}

// lessFenced compares what stands before interfaces. A monitoring point lets
// nothing pass, which is the most.
func lessFenced(old, now []fence.Target, same func(o, n fence.Target) bool) []string {
	var what []string
	for _, o := range old {
		i := slices.IndexFunc(now, func(n fence.Target) bool { return same(o, n) })
		switch {
		case i < 0:
			what = append(what, fmt.Sprintf("nothing would stand before %s any more (%s)", o.Name, o.Role))
		case now[i].Role == guard.Monitoring:
		case now[i].Role != o.Role:
			what = append(what, fmt.Sprintf("%s would be %s instead of %s", o.Name, now[i].Role, o.Role))
		default:
			for _, f := range uncovered(o.Send, now[i].Send) {
				what = append(what, fmt.Sprintf("%s would let UDP out, %s", o.Name, flowText(f)))
			}
			for _, f := range uncovered(o.Receive, now[i].Receive) {
				what = append(what, fmt.Sprintf("%s would let UDP in, %s", o.Name, flowText(f)))
			}
		}
	}
	return what
}

// uncovered lists the flows that did not pass before.
func uncovered(old, now []fence.Flow) []fence.Flow {
	return slices.DeleteFunc(slices.Clone(now), func(n fence.Flow) bool {
		return slices.ContainsFunc(old, func(o fence.Flow) bool {
			return o.Dest == n.Dest && (o.Source == n.Source || o.Source == netip.Addr{})
		})
	})
}

func flowText(f fence.Flow) string {
	from := "any address"
	if f.Source.IsValid() {
		from = f.Source.String()
	}
	return fmt.Sprintf("from %s to %s", from, f.Dest)
}
