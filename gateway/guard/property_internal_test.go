package guard

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// TestNothingOpensWhereItMustNot plays what may happen to a machine in any
// order: links come, go, are renamed, readdressed, enslaved; the fence breaks,
// falls silent, trips; events are lost; the guard is started anew. After each
// step what is open is compared with what the machine is, by rules that know
// nothing of how the guard decides.
func TestNothingOpensWhereItMustNot(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		var failed any // a failure leaves the bubble as it would leave a function
		synctest.Test(t, func(t *testing.T) {
			defer func() {
				failed = recover()
				switch failed.(type) {
				case runtime.Error, string:
					failed = failure(fmt.Sprintf("panic: %v\n%s", failed, debug.Stack()))
				}
			}()
			m := newModel(t, rt, dir)
			defer m.w.halt()
			for range rapid.IntRange(1, 25).Draw(rt, "steps") {
				m.step()
				m.check()
			}
		})
		if text, ok := failed.(failure); ok {
			rt.Fatal(text)
		}
		if failed != nil {
			panic(failed)
		}
	})
}

// failure is what a model panics with.
type failure string

// model is a world with what the property knows of it.
type model struct {
	rt     *rapid.T
	w      *world
	log    []string
	silent map[string]bool // hardware addresses that were a monitoring point's
	mute   map[int]bool    // indexes that are a monitoring point's, as long as they live
	// shutSince is when the fence or the events first failed; zero while all
	// is well.
	shutSince time.Time
	was       int // how many sockets had ever been opened before that
	before    int // the same, before the last step
	deaf      bool
}

// The monitoring point is eth1, at first index 3; the one-way links leave by
// eth2 and arrive at eth3.
var modelPolicies = []string{
	"policy monitoring=eth1 tx=eth2 rx=eth3 new=service ports",
	"policy monitoring=eth1 tx=eth2 rx=eth3 new=closed",
	"policy monitoring=eth1 tx=eth2 rx=eth3 service=eth0,lo single",
}

func newModel(t *testing.T, rt *rapid.T, dir string) *model {
	t.Helper()
	w := newWorld(t, dir)
	_ = os.Remove(w.memory)
	m := &model{rt: rt, w: w, silent: map[string]bool{"02:00:00:00:00:03": true}, mute: map[int]bool{}}
	for _, line := range []string{
		rapid.SampledFrom(modelPolicies).Draw(rt, "policy"), "link lo", "link eth0", "link eth1", "link eth2", "link eth3", "link eth4", "start",
	} {
		m.do(line)
	}
	return m
}

func (m *model) do(line string) {
	m.log = append(m.log, line)
	m.w.do(line)
	m.w.flush()
	switch line { // until the interfaces have been read again
	case "overrun":
		m.w.do("wait " + overrunPause.String())
	case "hear":
		m.w.do("wait " + backoffMost.String())
	}
}

func (m *model) pick(what string) string {
	links := m.w.links
	if len(links) == 0 {
		return ""
	}
	return links[rapid.IntRange(0, len(links)-1).Draw(m.rt, what)].name
}

// step does one thing at random.
func (m *model) step() {
	m.before = len(m.w.sockets)
	name, other := m.pick("which"), m.pick("other")
	free := m.free()
	lines := []string{
		fmt.Sprintf("link %s mac=02:ee:00:00:00:%02x", free, rapid.IntRange(0, 3).Draw(m.rt, "mac")),
		"link " + free + " kind=bridge",
		"wait 1s", "wait 3s",
		"fence unknown away", "fence known", "fence trip eth1 frames were sent", "fence reset",
		"fence whole", "fence late", "fence prompt", "fence input off", "fence input on",
		"overrun", "deaf", "hear", "restart",
	}
	if name != "" && name != "lo" {
		lines = append(
			lines, "delete "+name, "recreate "+name, "set "+name+" name="+free, "set "+name+" up=no", "set "+name+" up=yes",
			"set "+name+" master=", "set "+name+" mac=02:00:00:00:00:03", "set "+name+" mac=02:ee:00:00:00:09",
			"fence hole "+name+" egress", "fence hole "+name+" tc egress", "fence hole "+name+" all",
			"accept "+name, "dial "+name, "send eth2", "receive eth3", "dial "+name, "send eth2", "receive eth3",
		)
		if other != name && other != "lo" {
			lines = append(lines, "set "+name+" master="+other, "link "+free+" kind=macvlan parent="+name)
		}
	}
	line := rapid.SampledFrom(lines).Draw(m.rt, "line")
	switch line {
	case "deaf":
		m.deaf = true
	case "hear":
		m.deaf = false
	case "restart":
		if m.deaf {
			return // it would not start
		}
		clear(m.mute)
	case "recreate " + name: // another interface gets the index, between two lists
		m.log = append(m.log, line)
		index := m.w.indexOf(name)
		m.w.do("delete " + name)
		delete(m.mute, index)
		line = fmt.Sprintf("link %s index=%d mac=02:dd:00:00:00:%02x", free, index, len(m.log)%256)
	}
	m.do(line)
	if m.w.guard == nil { // the policy did not fit what is there: nothing is open
		m.w.links = nil
		for _, l := range []string{"link lo", "link eth0", "link eth1 mac=02:00:00:00:00:03", "link eth2", "link eth3", "start"} {
			m.do(l)
		}
	}
}

// free returns a name that no link has.
func (m *model) free() string {
	names := slices.DeleteFunc([]string{"eth0", "eth1", "eth2", "eth3", "eth7", "br0", fmt.Sprint("new", len(m.log))}, func(n string) bool {
		return slices.ContainsFunc(m.w.links, func(l link) bool { return l.name == n })
	})
	return rapid.SampledFrom(names).Draw(m.rt, "free")
}

func (m *model) fail(format string, args ...any) {
	panic(failure(fmt.Sprintf("%s\nafter\n%s\n%s", fmt.Sprintf(format, args...), strings.Join(m.log, "\n"), m.w)))
}

// check compares what is open with what the machine is.
func (m *model) check() {
	watched := m.watched()
	roles := map[int]verdict{}
	for _, v := range m.w.guard.verdicts {
		roles[v.Index] = v
	}
	for _, s := range m.w.sockets {
		if !s.isOpen() {
			continue
		}
		if watched[s.index] && !m.deaf {
			m.fail("%s on interface %d, which is a monitoring point", s.what, s.index)
		}
		if i := slices.IndexFunc(m.w.links, func(l link) bool { return l.index == s.index && l.txQueue == s.born }); i < 0 && !m.deaf {
			m.fail("%s on interface %d, which is not the one that it was opened on", s.what, s.index)
		}
		if v, ok := roles[s.index]; !ok || !v.allows(s.use) {
			m.fail("%s on interface %d, whose role is %s", s.what, s.index, v.Role)
		}
	}
	m.checkShut()
}

// watched are the indexes of the monitoring point and all its relatives, found
// by colouring until nothing changes.
func (m *model) watched() map[int]bool {
	out := map[int]bool{}
	for index := range m.mute {
		if !m.there(index) {
			delete(m.mute, index)
		}
	}
	for _, l := range m.w.links {
		if l.name == "eth1" && l.mac != "" {
			m.silent[l.mac], m.mute[l.index] = true, true
		}
		if m.mute[l.index] || m.silent[l.mac] && l.kind != "macvlan" {
			out[l.index] = true
		}
	}
	for range m.w.links {
		for _, l := range m.w.links {
			for _, near := range []int{l.master, l.parent} {
				if near != 0 && m.there(near) && out[l.index] != out[near] {
					out[l.index], out[near] = true, true
				}
			}
		}
	}
	return out
}

func (m *model) there(index int) bool {
	return slices.ContainsFunc(m.w.links, func(l link) bool { return l.index == index })
}

// checkShut wants nothing new while the fence does not stand, and nothing at
// all once that has lasted.
func (m *model) checkShut() {
	s := m.w.fence.Standing()
	broken := len(s.Trips) > 0 || m.deaf || !s.Known || !m.whole(s)
	open := slices.DeleteFunc(slices.Clone(m.w.sockets), func(s *fakeSocket) bool { return !s.isOpen() })
	switch {
	case !broken:
		m.shutSince = time.Time{}
		return
	case m.shutSince.IsZero():
		m.shutSince, m.was = time.Now(), m.before
	}
	if len(s.Trips) > 0 && len(open) > 0 {
		m.fail("tripped, and %d sockets are open", len(open))
	}
	m.was = min(m.was, len(m.w.sockets)) // a new start begins with none
	for _, s := range m.w.sockets[m.was:] {
		if s.isOpen() {
			m.fail("%s on interface %d was opened although the fence does not stand", s.what, s.index)
		}
	}
	if time.Since(m.shutSince) > holdFor && len(open) > 0 {
		m.fail("%d sockets are open after %s", len(open), time.Since(m.shutSince))
	}
}

// whole wants the drops that the policy asks for before each interface that
// has a role to be fenced.
func (m *model) whole(s Standing) bool {
	if len(m.w.policy.Ports) > 0 && !s.Input.OK {
		return false
	}
	want := 2
	if m.w.policy.SingleBarrier {
		want = 1
	}
	for _, d := range m.w.guard.Snapshot().Decisions {
		if d.Loopback || d.Role != Monitoring && d.Role != DiodeTX && d.Role != DiodeRX {
			continue
		}
		i := slices.IndexFunc(s.Barriers, func(b Barrier) bool { return b.Index == d.Index && b.Role == d.Role })
		if i < 0 || standing(s.Barriers[i].Egress) < want || standing(s.Barriers[i].Ingress) < want {
			return false
		}
	}
	return true
}
