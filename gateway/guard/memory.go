package guard

// memory is what the guard remembers of earlier lists. A monitoring point
// that changes its name must not become anything else by that, and an
// interface that was not there at the start must not become one of ours.
type memory struct {
	started    bool
	known      map[identity]bool // interfaces of the first list
	watchIndex map[int]string    // index → rule, of the monitoring points of the last list
	watchMAC   map[string]string // hardware address → rule, of all monitoring points so far
}

func newMemory() *memory {
	return &memory{known: map[identity]bool{}, watchIndex: map[int]string{}, watchMAC: map[string]string{}}
}

// remember takes in a new list before it is decided upon.
func (m *memory) remember(p Policy, links []link) {
	if !m.started {
		for _, l := range links {
			m.known[l.identity()] = true
		}
		m.started = true
	}
	present := map[int]string{}
	declared := named(p.Monitoring, links)
	for _, l := range links {
		rule, ok := declared[l.index]
		if !ok {
			rule, ok = m.watches(l)
		}
		if !ok {
			continue
		}
		present[l.index] = rule
		m.learnMAC(l, rule)
	}
	m.watchIndex = present // an index that is gone may be given to another interface
}

// maxWatchedMACs bounds what learnMAC keeps, in addresses. Ours: far above any
// machine's number of cards; only somebody who changes the address of a
// monitoring point in a loop gets there, and its index is still watched then.
const maxWatchedMACs = 4096

// learnMAC keeps the addresses of a monitoring point for life.
func (m *memory) learnMAC(l link, rule string) {
	for _, mac := range []string{l.permMAC, l.mac} {
		if mac != "" && !l.loopback && len(m.watchMAC) < maxWatchedMACs {
			m.watchMAC[mac] = rule
		}
	}
}

// watches reports whether the interface is known as a monitoring point from
// before, by its index or by its hardware address.
func (m *memory) watches(l link) (string, bool) {
	if rule, ok := m.watchIndex[l.index]; ok {
		return rule, true
	}
	if rule, ok := m.watchMAC[l.permMAC]; ok && l.permMAC != "" {
		return rule, true
	}
	rule, ok := m.watchMAC[l.mac]
	return rule, ok && l.mac != ""
}
