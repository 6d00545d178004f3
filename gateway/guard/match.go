package guard

import (
	"slices"
	"strings"
)

// Prefixes of a rule that does not name an interface by name.
const (
	macPrefix  = "mac:"
	pathPrefix = "path:"
)

// isStrong reports whether a rule names an interface by what does not change
// with its name.
func isStrong(rule string) bool {
	return strings.HasPrefix(rule, macPrefix) || strings.HasPrefix(rule, pathPrefix)
}

// match returns the interfaces that a rule names. Exactly one is right; the
// caller decides what none or several mean.
func match(rule string, links []link) []link {
	if mac, ok := strings.CutPrefix(rule, macPrefix); ok {
		return matchMAC(strings.ToLower(mac), links)
	}
	if path, ok := strings.CutPrefix(rule, pathPrefix); ok {
		return filter(links, func(l link) bool { return onPath(path, l.path) })
	}
	return filter(links, func(l link) bool {
		return l.name == rule || slices.Contains(l.altNames, rule)
	})
}

// matchMAC prefers burned-in addresses: members of a bond and VLAN children
// share the current address of another interface.
func matchMAC(mac string, links []link) []link {
	if found := filter(links, func(l link) bool { return l.permMAC == mac }); len(found) > 0 {
		return found
	}
	return filter(links, func(l link) bool { return l.mac == mac })
}

// onPath accepts the whole device path or one element of it. Elements may
// carry the bus prefix that udev's ID_PATH has: "pci-0000:03:00.1".
func onPath(rule, path string) bool {
	if path == "" {
		return false
	}
	rule = strings.Trim(strings.TrimPrefix(rule, "/sys/devices/"), "/")
	if rule == path {
		return true
	}
	for _, bus := range []string{"pci-", "platform-", "usb-"} {
		rule = strings.TrimPrefix(rule, bus)
	}
	return rule != "" && slices.Contains(strings.Split(path, "/"), rule)
}

func filter(links []link, keep func(link) bool) []link {
	var out []link
	for _, l := range links {
		if keep(l) {
			out = append(out, l)
		}
	}
	return out
}

func names(links []link) []string {
	out := make([]string, 0, len(links))
	for _, l := range links {
		out = append(out, l.name)
	}
	return out
}
