package guard

import (
	"slices"
	"time"
)

// memory is what the guard remembers of earlier lists, over restarts when it
// has a file. A monitoring point that changes its name must not become
// anything else by that, and an interface that was not there at the first
// start must not become one of ours.
type memory struct {
	path       string // of the file; empty = none
	started    bool   // there was a first list, here or in an earlier process
	accepted   []record
	watchIndex map[int]string       // index → rule, of the monitoring points of the last list
	watchMAC   map[string]string    // hardware address → rule, of all monitoring points so far
	mirrors    map[mirrorKey]Mirror // what was seen in this process
	dirty      bool                 // the file is older than this
}

// Values of record.By.
const (
	byStart    = "first start" // it was there then
	byOperator = "operator"    // somebody accepted it: no mirror check overrides that
)

// record is one interface that was accepted, with all that may tell it from
// others.
type record struct {
	Name     string    `json:"name"`
	Kind     string    `json:"kind"`
	Path     string    `json:"path,omitempty"`
	PermMAC  string    `json:"permanent_mac,omitempty"`
	MAC      string    `json:"mac,omitempty"`
	AltNames []string  `json:"alternative_names,omitempty"`
	By       string    `json:"by"`
	At       time.Time `json:"at"`
	Mirror   *Mirror   `json:"mirror,omitempty"` // of the last look; nil = none yet
}

// recordOf is what tells an interface from others.
func recordOf(l link) record {
	return record{Name: l.name, Kind: l.kind, Path: l.path, PermMAC: l.permMAC, MAC: l.mac, AltNames: l.altNames}
}

func newRecord(l link, by string) record {
	r := recordOf(l)
	r.AltNames, r.By, r.At = slices.Clone(l.altNames), by, time.Now().UTC().Truncate(time.Second)
	return r
}

func newMemory() *memory {
	return &memory{watchIndex: map[int]string{}, watchMAC: map[string]string{}, mirrors: map[mirrorKey]Mirror{}}
}

// Bounds of what is kept. Ours: far above any machine's number of cards; only
// somebody who changes the address of a monitoring point in a loop gets to the
// first, and its index is still watched then.
const (
	maxWatchedMACs = 4096
	maxAccepted    = 4096
)

// remember takes in a new list before it is decided upon.
func (m *memory) remember(p Policy, links []link) {
	m.rememberWatched(p, links)
	m.forgetGone(links)
	if m.started {
		return
	}
	m.started, m.dirty = true, true
	watched, tx, rx := monitoring(p, links, m), only(p.DiodeTX, links), only(p.DiodeRX, links)
	beside := besideDiode(links, tx, rx)
	for _, l := range links {
		taken := watched[l.index] != "" || tx[l.index] != "" || rx[l.index] != "" || beside[l.index] != ""
		if (l.loopback || !taken) && len(m.accepted) < maxAccepted {
			m.accepted = append(m.accepted, newRecord(l, byStart))
		}
	}
}

// rememberWatched keeps the monitoring points in view, and takes back that one
// of them, or an interface of a one-way link, was ever accepted for something
// else.
func (m *memory) rememberWatched(p Policy, links []link) {
	present := map[int]string{}
	declared, diodes := named(p.Monitoring, links), named(slices.Concat(p.DiodeTX, p.DiodeRX), links)
	for _, l := range links {
		rule, ok := declared[l.index]
		if ok || diodes[l.index] != "" && !l.loopback {
			m.drop(l, links)
		}
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

// learnMAC keeps the addresses of a monitoring point for life.
func (m *memory) learnMAC(l link, rule string) {
	for _, mac := range []string{l.permMAC, l.mac} {
		if mac == "" || l.loopback || m.watchMAC[mac] == rule || len(m.watchMAC) >= maxWatchedMACs {
			continue
		}
		m.watchMAC[mac], m.dirty = rule, true
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

// forget lets go of monitoring points that a new policy does not name any
// more, and of interfaces that it names for something else by what does not
// change: their address or their place. A mere name is not enough: it may be
// the name that changed.
func (m *memory) forget(p Policy, links []link) {
	for mac, rule := range m.watchMAC {
		if !slices.Contains(p.Monitoring, rule) {
			delete(m.watchMAC, mac)
			m.dirty = true
		}
	}
	for index, rule := range m.watchIndex {
		if !slices.Contains(p.Monitoring, rule) {
			delete(m.watchIndex, index)
		}
	}
	strong := slices.DeleteFunc(slices.Concat(p.Service, p.DiodeTX, p.DiodeRX), func(rule string) bool { return !isStrong(rule) })
	for index := range only(strong, links) {
		for _, l := range links {
			if _, here := m.watchIndex[index]; l.index == index && !here {
				delete(m.watchMAC, l.permMAC)
				delete(m.watchMAC, l.mac)
				m.dirty = true
			}
		}
	}
}

// accept remembers that an operator accepted an interface; what was remembered
// of it before is replaced.
func (m *memory) accept(l link, links []link) {
	m.drop(l, links)
	m.accepted = append(m.accepted, newRecord(l, byOperator))
	m.dirty = true
}

// drop forgets that an interface was accepted.
func (m *memory) drop(l link, links []link) {
	r := m.acquaint(links).record(l)
	if r == nil {
		return
	}
	old := *r
	m.accepted = slices.DeleteFunc(m.accepted, func(o record) bool {
		return o.Name == old.Name && o.Kind == old.Kind && o.Path == old.Path && o.PermMAC == old.PermMAC && o.MAC == old.MAC
	})
	m.dirty = true
}
