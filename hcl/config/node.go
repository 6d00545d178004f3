package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Node is one machine that runs sluice.
type Node struct {
	Name              string
	MonitoringPoints  []string // names, alternative names, "mac:…" or "path:…"
	ServiceInterfaces []string // empty: every interface that is nothing else
	NewInterfaces     string   // "closed" or "service"
	Isolate           string   // IsolateNone or IsolateNamespace
	Spool             Spool
	Sandbox           Sandbox
}

// Values of Node.Isolate.
const (
	IsolateNone      = "none"
	IsolateNamespace = "namespace" // monitoring points live in a network namespace of their own
)

// Sandbox limits each plugin of a node.
type Sandbox struct {
	Memory    int64 // bytes
	Processes int64 // processes and threads
	CPUs      float64
}

// Spool is the durable queue of a node.
type Spool struct {
	MaxSize       int64  // bytes
	WhenFull      string // "refuse", "drop-new" or "drop-oldest"
	SegmentSize   int64  // bytes
	KeepDelivered time.Duration

	written bool // WhenFull was written and is no default
}

// Plugin pins a plugin.
type Plugin struct {
	Kind    string // "receiver" or "sink"
	Name    string
	Version string // "" = any
	SHA256  string // lower case hexadecimal; "" = any
}

func decodeNode(s *section, name string) Node {
	n := Node{
		Name:              name,
		MonitoringPoints:  s.interfaces("monitoring_points"),
		ServiceInterfaces: s.interfaces("service_interfaces"),
		NewInterfaces:     get[string](s, "new_interfaces"),
		Isolate:           get[string](s, "isolate"),
		Spool:             decodeSpool(s.child("spool")),
		Sandbox:           decodeSandbox(s.child("sandbox")),
	}
	for _, i := range n.MonitoringPoints {
		if slices.Contains(n.ServiceInterfaces, i) {
			s.wrong("interface-role", "service_interfaces", fmt.Sprintf("%q is a monitoring point", i),
				"nothing may be received on a monitoring point or leave by it: take it out of one of the two lists")
		}
	}
	return n
}

func decodeSandbox(s *section) Sandbox {
	return Sandbox{Memory: get[int64](s, "memory"), Processes: get[int64](s, "processes"), CPUs: get[float64](s, "cpus")}
}

func decodeSpool(s *section) Spool {
	p := Spool{
		MaxSize:       get[int64](s, "max_size"),
		WhenFull:      get[string](s, "when_full"),
		SegmentSize:   get[int64](s, "segment_size"),
		KeepDelivered: get[time.Duration](s, "keep_delivered"),
		written:       s.has("when_full"),
	}
	if p.MaxSize > 0 && p.SegmentSize > 0 && p.MaxSize < 2*p.SegmentSize {
		s.wrong("limits", "max_size", "the spool holds less than two segments", "raise max_size or lower segment_size: space is given back in whole segments")
	}
	return p
}

func decodePlugin(s *section, labels []string) Plugin {
	p := Plugin{Kind: labels[0], Name: labels[1], Version: get[string](s, "version"), SHA256: strings.ToLower(get[string](s, "sha256"))}
	if p.Kind != "receiver" && p.Kind != "sink" {
		s.problem("value", s.at, fmt.Sprintf("%q is not a kind of plugin", p.Kind), `the kinds are "receiver" and "sink"`)
	}
	if p.Version != "" && canonical(p.Version) == "" {
		s.wrong("value", "version", fmt.Sprintf("%q is not a version", p.Version), `write it as in "1.4.2"`)
	}
	if p.SHA256 != "" && (len(p.SHA256) != 64 || strings.Trim(p.SHA256, "0123456789abcdef") != "") {
		s.wrong("value", "sha256", "this is not a SHA-256", "write 64 hexadecimal digits, as sha256sum prints them")
	}
	if p.Version == "" && p.SHA256 == "" && len(s.attrs) == 0 {
		s.d.add(Problem{Range: s.at, Severity: Warning, Rule: "plugin-pin", Component: s.address, Text: "this block pins nothing", Advice: "leave it out, or give version or sha256"})
	}
	return p
}

// interfaces reads a list of interface identities.
func (s *section) interfaces(name string) []string {
	list := s.texts(name)
	for _, i := range list {
		s.checkInterface(name, i)
	}
	return list
}

// checkInterface holds an interface identity against its forms. Whether there is such an interface only the node knows.
func (s *section) checkInterface(name, identity string) {
	const maxName = 127 // ALTIFNAMSIZ-1, linux/if.h
	_, rest, tagged := strings.Cut(identity, ":")
	switch {
	case strings.HasPrefix(identity, "mac:"):
		if !isMAC(rest) {
			s.wrong("address", name, fmt.Sprintf("%q holds no MAC address", identity), `write it as in "mac:02:00:5e:10:00:02"`)
		}
	case strings.HasPrefix(identity, "path:"):
		if rest == "" {
			s.wrong("address", name, fmt.Sprintf("%q holds no path", identity), `write it as in "path:pci-0000:03:00.1"`)
		}
	case identity == "" || len(identity) > maxName || tagged || strings.ContainsAny(identity, " \t\n/"):
		s.wrong("address", name, fmt.Sprintf("%q names no interface", identity), `write a name such as "eno3", "mac:…" or "path:…"`)
	}
}
