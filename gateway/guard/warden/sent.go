package warden

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/fence"
)

// bootFile names the start of the machine: counters begin anew with it.
const bootFile = "/proc/sys/kernel/random/boot_id"

// sent is the content of countFile: the transmit counters of the interfaces
// that must not send, so that a new process notices what left while there was
// none.
type sent struct {
	Boot       string          `json:"boot"`
	Interfaces []sentInterface `json:"interfaces"`
}

type sentInterface struct {
	Index  int    `json:"index"`
	Name   string `json:"name"`
	MAC    string `json:"mac"`
	Frames uint64 `json:"frames"`
}

// countSent compares the counters with those that were written down, once,
// and writes them down whenever a plan has been applied.
func (l *loop) countSent(plan fence.Plan) {
	now := l.readSent(plan)
	if l.counted == nil {
		l.compareSent(now)
	}
	if l.counted != nil && reflect.DeepEqual(*l.counted, now) {
		return
	}
	l.keepSent(now)
}

// keepSent writes the counters down.
func (l *loop) keepSent(now sent) {
	l.counted = &now
	if err := l.store.save(countFile, now); err != nil {
		l.log.Warn("guard: transmit counters not written down: what leaves while no warden runs will go unnoticed", "error", err)
	}
}

func (l *loop) readSent(plan fence.Plan) sent {
	now := sent{Boot: bootID()}
	for _, t := range plan.Targets {
		if t.Role == guard.DiodeTX {
			continue
		}
		var frames uint64
		err := l.at(t.Index, func() (err error) {
			frames, err = l.links.Sent(t.Index)
			return err
		})
		if err != nil {
			continue // it is going away; the audit says so
		}
		now.Interfaces = append(now.Interfaces, sentInterface{t.Index, t.Name, t.MAC, frames})
	}
	return now
}

// compareSent trips for what left while no warden ran.
func (l *loop) compareSent(now sent) {
	var before sent
	if found, err := l.store.load(countFile, &before); err != nil || !found || before.Boot != now.Boot {
		return // a new start of the machine, or the first one here
	}
	was := map[sentInterface]uint64{}
	for _, i := range before.Interfaces {
		was[sentInterface{Index: i.Index, Name: i.Name, MAC: i.MAC}] = i.Frames
	}
	for _, i := range now.Interfaces {
		frames, ok := was[sentInterface{Index: i.Index, Name: i.Name, MAC: i.MAC}]
		if !ok || i.Frames <= frames || l.isLatched(i.Index) {
			continue
		}
		l.trip(guard.Trip{
			At: time.Now(), Interface: i.Name, Index: i.Index,
			Cause: fmt.Sprintf("sent %d frames while no warden was looking", i.Frames-frames),
		})
		l.applied = nil // the ports are not shut yet
	}
}

func (l *loop) isLatched(index int) bool {
	for _, t := range l.trips {
		if l.indexOf(t) == index {
			return true
		}
	}
	return false
}

func bootID() string {
	id, err := os.ReadFile(bootFile)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
