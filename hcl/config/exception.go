package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Exception is a written, dated, reasoned weakening of one defence.
type Exception struct {
	Name       string
	Allows     string // one of the weaknesses
	On         string // address of the component
	Reason     string
	ApprovedBy string
	Until      time.Time // midnight UTC that begins the last day on which it holds
}

// Ended reports whether the last day has passed.
func (e Exception) Ended(now time.Time) bool { return !now.Before(e.Until.AddDate(0, 0, 1)) }

// EndsSoon reports whether it ends within the notice that operators get.
func (e Exception) EndsSoon(now time.Time) bool {
	return !e.Ended(now) && !now.Before(e.Until.AddDate(0, 0, -noticeDays))
}

// noticeDays is how long before its end an exception is warned about: one round of a monthly maintenance.
const noticeDays = 30

// weakness is a defence that an exception may weaken, and on what.
type weakness struct {
	name string
	on   []string // kinds of blocks
	doc  string
}

func weaknesses() []weakness {
	return []weakness{
		{"obsolete_tls", []string{"receiver", "sink"}, "TLS before version 1.2, or ciphers without forward secrecy."},
		{"unencrypted_udp", []string{"receiver"}, "A UDP receiver whose datagrams are not encrypted: anyone on the way can read and forge them."},
		{"unencrypted_tcp", []string{"receiver"}, "A TCP receiver without TLS: anyone on the way can read and forge records."},
		{"single_guard_barrier", []string{"node"}, "A node on which only one of the two barriers before monitoring points and diodes can be set up."},
		{"degraded_sandbox", []string{"receiver", "sink", "node"}, "A plugin, or all plugins of a node, confined less than fully."},
		{"stale_crl", []string{"receiver"}, "Client certificates checked against a revocation list that is out of date."},
	}
}

func weaknessNames() []string {
	var names []string
	for _, w := range weaknesses() {
		names = append(names, w.name)
	}
	return names
}

func decodeException(s *section, name string) Exception {
	e := Exception{
		Name:       name,
		Allows:     get[string](s, "allows"),
		Reason:     strings.TrimSpace(get[string](s, "reason")),
		ApprovedBy: strings.TrimSpace(get[string](s, "approved_by")),
		Until:      s.date("until"),
	}
	e.On = s.ref("on", kindsFor(e.Allows)...)
	for attr, text := range map[string]string{"reason": e.Reason, "approved_by": e.ApprovedBy} {
		if s.has(attr) && text == "" {
			s.wrong("exception", attr, "this is empty", "an exception without it cannot be audited")
		}
	}
	return e
}

// kindsFor says on which kinds of blocks something can be allowed.
func kindsFor(allows string) []string {
	for _, w := range weaknesses() {
		if w.name == allows {
			return w.on
		}
	}
	return []string{"receiver", "sink", "node", "diode"}
}

// date reads a day, midnight UTC.
func (s *section) date(attr string) time.Time {
	text, ok := read[string](s, attr)
	if !ok {
		return time.Time{}
	}
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		s.wrong("value", attr, fmt.Sprintf("%q is not a day", text), `write it as in "2027-03-31"`)
	}
	return t
}

// checkExceptions reports two exceptions for one thing.
func (d *decoder) checkExceptions() {
	for i, e := range d.cfg.Exceptions {
		same := func(o Exception) bool { return o.Allows == e.Allows && o.On == e.On }
		if first := slices.IndexFunc(d.cfg.Exceptions, same); first < i {
			d.where("exception."+e.Name).wrong("duplicate", "on", fmt.Sprintf("exception.%s already allows %s on %s", d.cfg.Exceptions[first].Name, e.Allows, e.On), "leave one of them out: two end dates contradict each other")
		}
	}
}
