package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Traits is what a configured plugin says of itself, as far as routes depend on it. The fields are those of the plugin
// contract; they are repeated here because an operator's language does not depend on the contract.
type Traits struct {
	Protocol         string   // "syslog", "opaque", "file", "kics-telemetry" …
	Network          string   // "tcp", "udp" or ""
	Answers          bool     // sends application data back to endpoints
	Encryption       string   // "tls", "sealed", "by-endpoint" or "none"; "" counts as none
	Kind             string   // content kind it yields or takes
	Delivery         string   // sinks: "acknowledged", "written" or "sent"
	VerifiesClients  string   // receivers with TLS: "yes", "no" or "elsewhere"
	AcceptsProtocols []string // sinks: protocols of receivers that they take; empty = any
}

// kicsTelemetry is the protocol of a sink that speaks to a KICS node in UDP mode.
const kicsTelemetry = "kics-telemetry"

// checker holds a configuration against the traits of its plugins.
type checker struct {
	c        *Config
	traits   map[string]Traits
	now      time.Time
	problems Problems
}

// Check holds a configuration against what its plugins say of themselves. The key of traits is the address of a
// receiver or sink; a component that is missing in it (its plugin is not installed, its body is wrong) is left out of
// the checks that need it, and so is one that is not enabled.
func Check(c *Config, traits map[string]Traits) Problems {
	k := &checker{c: c, traits: traits, now: c.now()}
	k.checkPorts()
	k.checkConnect()
	k.checkRoutes()
	k.checkUnused()
	k.checkEncryption()
	k.checkDates()
	return k.problems.sorted()
}

func (k *checker) add(severity Severity, rule Rule, component, attr, text, advice string) {
	p := k.c.ProblemAt(component, []string{attr}, text, advice)
	p.Severity, p.Rule = severity, rule
	k.problems = append(k.problems, p)
}

// receivers returns the enabled receivers whose traits are known.
func (k *checker) receivers() []*Receiver {
	var out []*Receiver
	for i := range k.c.Receivers {
		if r := &k.c.Receivers[i]; r.Enabled && k.knows(r.Address) {
			out = append(out, r)
		}
	}
	return out
}

// sinks returns the enabled sinks whose traits are known.
func (k *checker) sinks() []*Sink {
	var out []*Sink
	for i := range k.c.Sinks {
		if s := &k.c.Sinks[i]; s.Enabled && k.knows(s.Address) {
			out = append(out, s)
		}
	}
	return out
}

func (k *checker) knows(address string) bool {
	_, known := k.traits[address]
	return known
}

// checkPorts makes sure that no two sockets of a node want one port.
func (k *checker) checkPorts() {
	type socket struct {
		node, network string
		port          uint16
	}
	taken := map[socket]string{}
	for _, d := range k.c.Diodes {
		taken[socket{d.To, "udp", d.Receive.Listen.Port()}] = "diode." + d.Name
	}
	for _, r := range k.receivers() {
		s := socket{r.Node, k.traits[r.Address].Network, r.Port}
		if other, twice := taken[s]; twice {
			k.add(Error, "port", r.Address, "port", fmt.Sprintf("%s port %d on node.%s is already taken by %s", strings.ToUpper(s.network), r.Port, r.Node, other), "choose another port: receivers listen on every service interface")
			continue
		}
		taken[s] = r.Address
	}
}

// checkConnect makes sure that targets stand where, and only where, connections are opened.
func (k *checker) checkConnect() {
	for _, r := range k.receivers() {
		t := k.traits[r.Address]
		row, _, fits := protocolOf(t.Protocol, t.Network)
		switch {
		case fits && row.Relays && len(r.Connect) == 0:
			k.add(Error, "connect", r.Address, "connect", "the attribute \"connect\" is missing: "+t.Protocol+" passes connections on", `name the one target, as in connect = ["10.30.0.10:8081"]`)
		case fits && !row.Relays && len(r.Connect) > 0:
			k.add(Error, "connect", r.Address, "connect", fmt.Sprintf("a receiver with protocol %q opens no connection", t.Protocol), "leave connect out")
		}
	}
	for _, s := range k.sinks() {
		t := k.traits[s.Address]
		switch {
		case (t.Network != "" || t.Protocol == kicsTelemetry) && len(s.Connect) == 0:
			k.add(Error, "connect", s.Address, "connect", "the attribute \"connect\" is missing: nothing else is opened for this sink", `name its target, as in connect = ["10.30.0.10:20001"]`)
		case t.Network == "" && t.Protocol == "file" && len(s.Connect) > 0:
			k.add(Error, "connect", s.Address, "connect", "a file sink opens no connection", "leave connect out")
		}
	}
}

// checkRoutes holds every receiver of every route against the table of protocols and against the sinks of the route.
func (k *checker) checkRoutes() {
	for _, r := range k.c.Routes {
		for _, from := range r.From {
			if !k.knows(from) {
				continue
			}
			k.checkProtocol(r, from)
			for _, to := range r.To {
				if k.knows(to) {
					k.checkPair(r, from, to)
				}
			}
		}
	}
}

func (k *checker) checkProtocol(r Route, from string) {
	t := k.traits[from]
	row, known, fits := protocolOf(t.Protocol, t.Network)
	verdict, with := row.Direct, "without a diode"
	if len(r.Via) > 0 {
		verdict, with = row.Diode, "with a diode"
	}
	switch {
	case !known:
	case !fits:
		k.add(Error, "protocol", from, "protocol", fmt.Sprintf("protocol %q does not exist over %s", t.Protocol, t.Network), "see the table of protocols in the reference")
	case !verdict.Allowed:
		k.add(Error, "protocol", "route."+r.Name, "from", fmt.Sprintf("%s with protocol %q cannot be used %s", from, t.Protocol, with), verdict.Why)
	case !row.Records:
		k.add(Error, "protocol", "route."+r.Name, "from", fmt.Sprintf("%s with protocol %q yields no records, so there is nothing to route", from, t.Protocol), "leave it out of the route")
	}
}

// checkPair holds a receiver against a sink that is to take its records.
func (k *checker) checkPair(r Route, from, to string) {
	source, target := k.traits[from], k.traits[to]
	switch {
	case target.Protocol == kicsTelemetry && (source.Network != "udp" || source.Protocol != "opaque"):
		k.add(Error, "sink-protocol", "route."+r.Name, "from",
			fmt.Sprintf("%s takes only UDP receivers with protocol \"opaque\"; %s has protocol %q over %s", to, from, source.Protocol, source.Network),
			"a KICS node understands only what its own agents sent: route other records to another sink")
	case len(target.AcceptsProtocols) > 0 && !slices.Contains(target.AcceptsProtocols, source.Protocol):
		k.add(Error, "sink-protocol", "route."+r.Name, "from",
			fmt.Sprintf("%s does not take protocol %q of %s", to, source.Protocol, from), "it takes "+strings.Join(target.AcceptsProtocols, ", "))
	}
}

// checkUnused reports records that would go nowhere and sinks that would wait for ever.
func (k *checker) checkUnused() {
	for _, r := range k.receivers() {
		t := k.traits[r.Address]
		row, _, fits := protocolOf(t.Protocol, t.Network)
		routed := slices.ContainsFunc(k.c.Routes, func(x Route) bool { return slices.Contains(x.From, r.Address) })
		if !routed && (!fits || row.Records) {
			k.add(Error, "no-route", r.Address, "", "no route takes the records of "+r.Address, "name it in the from of a route, or set enabled = false")
		}
	}
	for _, s := range k.sinks() {
		if !slices.ContainsFunc(k.c.Routes, func(x Route) bool { return slices.Contains(x.To, s.Address) }) {
			k.add(Warning, "unused", s.Address, "", "no route leads to "+s.Address, "name it in the to of a route, or leave it out")
		}
	}
}
