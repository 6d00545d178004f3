package guard

import (
	"errors"
	"slices"
	"strings"
)

// Names of the policy's lists as the configuration calls them.
const (
	listMonitoring = "monitoring point"
	listService    = "service interface"
	listDiodeTX    = "interface of the sending diode"
	listDiodeRX    = "interface of the receiving diode"
)

// checkRules refuses a policy that does not fit this machine: every rule must
// name exactly one interface, and no interface may have two roles. All
// problems are reported at once.
func checkRules(p Policy, links []link) error {
	var problems []error
	for _, set := range []struct {
		list  string
		rules []string
	}{
		{listMonitoring, p.Monitoring},
		{listService, p.Service},
		{listDiodeTX, p.DiodeTX},
		{listDiodeRX, p.DiodeRX},
	} {
		for _, rule := range set.rules {
			if set.list == listMonitoring && p.Isolate && len(match(rule, links)) == 0 {
				continue // it is in its own namespace; the fence must show it
			}
			if reason := wrong(set.list, rule, links); reason != "" {
				problems = append(problems, &RuleError{set.list, rule, reason, describeAll(links)})
			}
		}
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	return errors.Join(conflicts(p, links)...)
}

// wrong says what is wrong with one rule, or nothing.
func wrong(list, rule string, links []link) string {
	found := match(rule, links)
	switch {
	case len(found) == 0:
		return "matches no interface"
	case len(found) > 1:
		return "matches more than one interface (" + strings.Join(names(found), ", ") + "): name one of them"
	case list == listMonitoring && found[0].loopback:
		return "is the loopback interface, which no mirror port can feed"
	}
	if list != listMonitoring {
		return ""
	}
	if bond := bondOf(found[0], links); bond != "" {
		return "is a member of bond " + bond + ": declare " + bond + " itself"
	}
	return ""
}

func bondOf(l link, links []link) string {
	i := slices.IndexFunc(links, func(m link) bool {
		return l.master != 0 && m.index == l.master && (m.kind == "bond" || m.kind == "team")
	})
	if i < 0 {
		return ""
	}
	return links[i].name
}

// conflicts finds interfaces that the policy wants to be two things.
func conflicts(p Policy, links []link) []error {
	var out []error
	watched := monitoring(p, links, newMemory())
	service := named(p.Service, links)
	tx, rx := named(p.DiodeTX, links), named(p.DiodeRX, links)
	beside := besideDiode(links, tx, rx)
	for _, l := range links {
		reason, isWatched := watched[l.index]
		for _, other := range []struct {
			list  string
			rules map[int]string
		}{{listService, service}, {listDiodeTX, tx}, {listDiodeRX, rx}} {
			if rule, ok := other.rules[l.index]; ok && isWatched {
				out = append(out, twoRoles(other.list, rule, "is a monitoring interface: "+reason, links))
			}
		}
		if l.loopback {
			continue // what it carries never leaves the machine
		}
		if rule, ok := service[l.index]; ok && (tx[l.index] != "" || rx[l.index] != "") {
			out = append(out, twoRoles(listService, rule, "carries a one-way link, which nothing else may use", links))
		}
		if rule, ok := service[l.index]; ok && beside[l.index] != "" {
			out = append(out, twoRoles(listService, rule, "is a relative of "+beside[l.index]+", which carries a one-way link", links))
		}
		if rule, ok := tx[l.index]; ok && rx[l.index] != "" {
			out = append(out, twoRoles(listDiodeTX, rule, "is also the "+listDiodeRX+": one direction per interface", links))
		}
	}
	return out
}

func twoRoles(list, rule, reason string, links []link) error {
	return &RuleError{List: list, Rule: rule, Reason: reason, Exists: describeAll(links)}
}

func describeAll(links []link) []string {
	out := make([]string, 0, len(links))
	for _, l := range links {
		out = append(out, l.describe())
	}
	if len(out) == 0 {
		return []string{"no interface at all"}
	}
	return out
}
