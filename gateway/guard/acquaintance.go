package guard

// acquaintances tells which interfaces of a list were accepted before.
type acquaintances struct {
	records map[string][]*record // by each key of theirs
	sharers map[string]int       // how many interfaces of the list have a key
}

// acquaint compares a list with what is remembered. What it returns holds until
// the memory changes.
func (m *memory) acquaint(links []link) acquaintances {
	a := acquaintances{records: map[string][]*record{}, sharers: map[string]int{}}
	for i := range m.accepted {
		r := &m.accepted[i]
		for _, key := range r.keys() {
			a.records[key] = append(a.records[key], r)
		}
	}
	for _, l := range links {
		for _, key := range recordOf(l).keys() {
			a.sharers[key]++
		}
	}
	return a
}

// keys are all by which an interface may be known.
func (r record) keys() []string {
	out := make([]string, 0, 3+len(r.AltNames))
	out = append(out, r.nameKey())
	if r.Path != "" {
		out = append(out, "path "+r.Path)
	}
	if r.PermMAC != "" {
		out = append(out, "address "+r.PermMAC)
	}
	return append(out, r.altKeys()...)
}

func (r record) nameKey() string { return "name " + r.Name + " " + r.Kind + " " + r.MAC }

func (r record) altKeys() []string {
	out := make([]string, 0, len(r.AltNames))
	for _, n := range r.AltNames {
		out = append(out, "alternative "+r.Kind+" "+n)
	}
	return out
}

// telling are the keys that count for an interface. What does not change
// counts most: its place, then its permanent address, then a name that
// somebody gave it. An interface that has only a name must be of the same kind
// and have the same address as well.
func telling(l link) []string {
	r := recordOf(l)
	switch {
	case l.loopback:
	case l.path != "":
		return []string{"path " + r.Path}
	case l.permMAC != "":
		return []string{"address " + r.PermMAC}
	case len(l.altNames) > 0:
		return r.altKeys()
	}
	return []string{r.nameKey()}
}

// record returns what is remembered of an accepted interface, or nil.
func (a acquaintances) record(l link) *record {
	var found []*record
	shared := false
	for _, key := range telling(l) {
		found = append(found, a.records[key]...)
		shared = shared || a.sharers[key] > 1
	}
	if len(found) == 0 {
		return nil
	}
	alone := !shared
	for _, r := range found {
		alone = alone && r == found[0] // one that has several of the keys
	}
	if alone {
		return found[0]
	}
	// Several share it, as the ports of one card may: all else must agree.
	for _, r := range found {
		if r.PermMAC == l.permMAC && r.Name == l.name && r.Kind == l.kind {
			return r
		}
	}
	return nil
}
