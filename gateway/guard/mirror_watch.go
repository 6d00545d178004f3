package guard

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// lookAgain is how soon an interface that was idle or looked like a mirror
	// port is looked at anew. Ours.
	lookAgain = 10 * time.Minute
	// maxLooks bounds how many interfaces are looked at at once. Ours.
	maxLooks = 16
)

// mirrorKey tells for which interface a verdict holds.
type mirrorKey struct {
	index int
	id    identity
}

func (l link) mirrorKey() mirrorKey { return mirrorKey{l.index, l.identity()} }

// mirrorOf returns the newest verdict about an interface, also an earlier
// process's.
func (m *memory) mirrorOf(l link, r *record) (Mirror, bool) {
	if seen, ok := m.mirrors[l.mirrorKey()]; ok {
		return seen, true
	}
	if r != nil && r.Mirror != nil {
		return *r.Mirror, true
	}
	return Mirror{}, false
}

// learn keeps a verdict.
func (m *memory) learn(l link, links []link, seen Mirror) {
	m.mirrors[l.mirrorKey()] = seen
	if r := m.acquaint(links).record(l); r != nil {
		r.Mirror, m.dirty = &seen, true
	}
}

// forgetGone drops the verdicts about interfaces that are gone.
func (m *memory) forgetGone(links []link) {
	there := make(map[mirrorKey]bool, len(links))
	for _, l := range links {
		there[l.mirrorKey()] = true
	}
	maps.DeleteFunc(m.mirrors, func(k mirrorKey, _ Mirror) bool { return !there[k] })
}

// mirrorProof reports that no mirror port can feed an interface, or that
// looking would tell nothing: a bridge that is looked at sees what it
// forwards.
func mirrorProof(l link) bool { return l.loopback || l.kind == "bridge" }

// unsure are the interfaces that are to be looked at now. While nothing may be
// opened there are none: whoever lends the sockets may be away.
func (g *Guard) unsure() (due, all []link) {
	g.apply.Lock()
	defer g.apply.Unlock()
	verdicts, err := g.current()
	if err != nil {
		return nil, nil
	}
	for _, v := range verdicts {
		seen, ok := g.mem.mirrors[v.link.mirrorKey()]
		if v.watch && v.link.up && v.link.carrier && (!ok || seen.Verdict != MirrorOrdinary && time.Since(seen.At) >= lookAgain) {
			due = append(due, v.link)
		}
	}
	return due, linksOf(verdicts)
}

// lookout looks at interfaces until ctx ends.
func (g *Guard) lookout(ctx context.Context) {
	var looks sync.WaitGroup
	defer looks.Wait()
	underway, done := map[mirrorKey]bool{}, make(chan mirrorKey)
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		due, all := g.unsure()
		for _, l := range due {
			key := l.mirrorKey()
			if underway[key] || len(underway) >= maxLooks {
				continue
			}
			underway[key] = true
			looks.Go(func() {
				g.examine(ctx, l, all)
				select {
				case done <- key:
				case <-ctx.Done():
				}
			})
		}
		select {
		case <-ctx.Done():
			return
		case key := <-done:
			delete(underway, key)
		case <-g.doubt:
		case <-tick.C:
		}
	}
}

// examine looks at one interface and takes the verdict in.
func (g *Guard) examine(ctx context.Context, l link, links []link) {
	m, err := g.lookAt(ctx, l, links)
	if ctx.Err() != nil {
		return
	}
	if _, away := g.current(); err != nil && away != nil {
		return // once more when it is back
	}
	if err != nil {
		g.log.Warn("guard: an interface could not be told from a mirror port", "interface", l.name, "error", err)
		m = Mirror{Verdict: MirrorUndecided, Text: notLooked + err.Error(), At: time.Now().UTC().Truncate(time.Second)}
	}
	g.learnMirror(l, m)
}

// notLooked begins the text of a verdict without a look.
const notLooked = "could not be looked at: "

// wonder has interfaces looked at about which something is unknown.
func (g *Guard) wonder(verdicts []verdict) {
	if !slices.ContainsFunc(verdicts, func(v verdict) bool { return v.watch }) {
		return
	}
	select {
	case g.doubt <- struct{}{}:
	default: // already asked
	}
}

// learnMirror keeps a verdict and decides anew.
func (g *Guard) learnMirror(l link, m Mirror) {
	g.apply.Lock()
	defer g.apply.Unlock()
	if !slices.ContainsFunc(g.links, func(o link) bool { return o.mirrorKey() == l.mirrorKey() }) {
		return // it is gone or another one now
	}
	g.mem.learn(l, g.links, m)
	g.reconsider(g.links, false)
}
