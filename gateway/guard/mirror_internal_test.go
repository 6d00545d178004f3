package guard

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const (
	ourMAC, otherMAC  = "02:00:00:00:00:02", "02:00:00:00:00:99"
	broadcast, groupA = "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"
)

// frameTo is the beginning of a frame for that address.
func frameTo(t *testing.T, mac string) []byte {
	t.Helper()
	to, err := net.ParseMAC(mac)
	if err != nil {
		t.Fatal(err)
	}
	return append(to, make([]byte, headBytes-len(to))...)
}

func TestMirrorVerdict(t *testing.T) {
	for _, c := range []struct {
		name                        string
		ours, others, all, multiple int // frames, by whom they are for
		want                        string
		text                        string
	}{
		{"nothing", 0, 0, 0, 0, MirrorUndecided, "eno4 is idle: 0 unicast frames, too few to tell it from a mirror port"},
		{"only for everybody", 0, 0, 5000, 5000, MirrorUndecided, "eno4 is idle: 0 unicast frames"},
		{"one too few", 0, 19, 0, 0, MirrorUndecided, "eno4 is idle: 19 unicast frames"},
		{"enough, all for others", 0, 20, 0, 0, MirrorPort, "eno4 looks like a mirror port: 100 % of 20 unicast frames are for other machines: declare it in monitoring_points"},
		{"enough, all ours", 20, 0, 0, 0, MirrorOrdinary, "eno4 is an ordinary port: 0 of 20 unicast frames are for other machines"},
		{"a fifth", 80, 20, 0, 0, MirrorOrdinary, "20 of 100"},
		{"a little more", 79, 21, 0, 0, MirrorPort, "21 % of 100"},
		{"of the design", 204, 1000, 300, 0, MirrorPort, "eno4 looks like a mirror port: 83 % of 1204 unicast frames are for other machines"},
		{"a switch that floods a little", 1000, 50, 1000, 10, MirrorOrdinary, "50 of 1050"},
		{"broadcasts do not count", 81, 20, 100000, 0, MirrorOrdinary, "20 of 101"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ours := ownAddresses([]link{ethernet(2, "eno4"), loopback()})
			var seen frameCount
			for mac, n := range map[string]int{ourMAC: c.ours, otherMAC: c.others, broadcast: c.all, groupA: c.multiple} {
				for range n {
					seen.take(frameTo(t, mac), ours)
				}
			}
			m := seen.verdict("eno4")
			if m.Verdict != c.want || !strings.Contains(m.Text, c.text) || m.Unicast != uint64(c.ours+c.others) || m.Foreign != uint64(c.others) {
				t.Errorf("%+v, want %s: %s", m, c.want, c.text)
			}
		})
	}
}

// TestOwnAddresses: frames for a child, a master or the burned-in address are
// this machine's as well.
func TestOwnAddresses(t *testing.T) {
	a, b := ethernet(2, "eth0"), ethernet(3, "eth1")
	a.permMAC = "02:aa:00:00:00:01"
	ours := ownAddresses([]link{loopback(), a, b})
	var seen frameCount
	for _, mac := range []string{a.mac, a.permMAC, b.mac} {
		seen.take(frameTo(t, mac), ours)
	}
	seen.take(frameTo(t, otherMAC), ours)
	for size := range offIP {
		seen.take(frameTo(t, otherMAC)[:size], ours) // no frame at all
	}
	if seen != (frameCount{unicast: 4, foreign: 1}) {
		t.Errorf("%+v", seen)
	}
}

func TestCheckMirror(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFake(loopback(), ethernet(2, "eth0"))
		k.counts = map[string]frameCount{"eth0": {unicast: 100, foreign: 90}}
		g := fakeGuard(t, k, Policy{})
		began := time.Now()
		m, err := g.CheckMirror(t.Context(), "mac:02:00:00:00:00:02")
		if err != nil || m.Verdict != MirrorPort || m.Unicast != 100 || m.Foreign != 90 {
			t.Errorf("%+v, %v", m, err)
		}
		if took := time.Since(began); took != defaultMirrorWatch {
			t.Errorf("looked for %s", took)
		}
		if d := g.Snapshot().Decisions[1]; d.Role != Closed || d.Reason != m.Text {
			t.Errorf("it is still open: %+v", d)
		}
		for _, bad := range []string{"lo", "eth9"} {
			if _, err := g.CheckMirror(t.Context(), bad); err == nil {
				t.Errorf("%s: no error", bad)
			}
		}
		short, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if _, err := g.CheckMirror(short, "eth0"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cut short: %v", err)
		}
		k.noWatcher = errFake
		if _, err := g.CheckMirror(t.Context(), "eth0"); !errors.Is(err, errFake) {
			t.Errorf("refused: %v", err)
		}
	})
}

// TestInterfaceThatCannotBeLookedAt is used, and says that nobody could look.
func TestInterfaceThatCannotBeLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFake(loopback(), ethernet(2, "eth0"))
		k.noWatcher = errFake
		g, err := newGuard(Options{Log: quiet, MirrorWatch: time.Second}, k, byIndex, true)
		if err != nil {
			t.Fatal(err)
		}
		start(t, g)
		time.Sleep(time.Second)
		synctest.Wait()
		want := "neither monitoring point nor diode interface; not looked at: could not be told from a mirror port"
		if d := g.Snapshot().Decisions[1]; d.Role != Service || d.Reason != want {
			t.Errorf("%+v", d)
		}
	})
}

// TestManyInterfacesAreWatched: more than are looked at at once.
func TestManyInterfacesAreWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFake(loopback())
		k.counts = map[string]frameCount{}
		for i := 2; i < 2+3*maxLooks; i++ {
			l := ethernet(i, "eth"+string(rune('a'+i%26))+string(rune('a'+i/26)))
			k.links, k.counts[l.name] = append(k.links, l), frameCount{unicast: 100}
		}
		g, err := newGuard(Options{Log: quiet, MirrorWatch: 10 * time.Second}, k, byIndex, true)
		if err != nil {
			t.Fatal(err)
		}
		start(t, g)
		service := func() int {
			synctest.Wait()
			n := 0
			for _, d := range g.Snapshot().Decisions {
				if d.Role == Service && !d.Loopback {
					n++
				}
			}
			return n
		}
		for round := 1; round <= 3; round++ {
			time.Sleep(10 * time.Second)
			if n := service(); n != round*maxLooks {
				t.Errorf("after round %d: %d are open", round, n)
			}
		}
	})
}
