package config

import (
	"fmt"
	"net/netip"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Receiver takes records in.
type Receiver struct {
	Address        string // "receiver.udp.syslog"
	Plugin         string // "udp"
	Name           string // "syslog"
	Node           string
	Enabled        bool
	Port           uint16
	AllowFrom      []netip.Prefix // empty = every address on a service interface
	Connect        []netip.AddrPort
	MaxConnections int
	Compression    string   // "none" or "zstd"
	Class          string   // ClassBulk or ClassCritical: in which its records travel
	Config         hcl.Body // config {}, for hcl/schema; never nil
}

// The classes of records.
const (
	ClassBulk     = "bulk"
	ClassCritical = "critical" // all of the receiver's records; with ClassBulk its plugin may still pick single ones
)

// Sink delivers records.
type Sink struct {
	Address string // "sink.file.archive"
	Plugin  string // "file"
	Name    string // "archive"
	Node    string
	Enabled bool
	Connect []netip.AddrPort
	Config  hcl.Body // config {}, for hcl/schema; never nil
}

func decodeReceiver(s *section, labels []string) Receiver {
	r := Receiver{
		Address:        s.address,
		Plugin:         labels[0],
		Name:           labels[1],
		Node:           nodeName(s.ref("node", "node")),
		Enabled:        get[bool](s, "enabled"),
		Port:           uint16(get[int64](s, "port")),
		AllowFrom:      s.prefixes("allow_from"),
		Connect:        s.addrPorts("connect"),
		MaxConnections: int(get[int64](s, "max_connections")),
		Compression:    get[string](s, "compression"),
		Class:          get[string](s, "class"),
		Config:         s.config,
	}
	if len(r.Connect) > 1 {
		s.wrong("connect", "connect", fmt.Sprintf("%d targets", len(r.Connect)), "a relay has one target")
	}
	return r
}

func decodeSink(s *section, labels []string) Sink {
	return Sink{
		Address: s.address,
		Plugin:  labels[0],
		Name:    labels[1],
		Node:    nodeName(s.ref("node", "node")),
		Enabled: get[bool](s, "enabled"),
		Connect: s.addrPorts("connect"),
		Config:  s.config,
	}
}

// readConfig finds the body of config {}. Where it was left out it is empty and stands at the block's header, so that
// what the plugin misses in it has a place.
func (s *section) readConfig() {
	if !s.word.plugin {
		return
	}
	s.config = &hclsyntax.Body{SrcRange: s.at, EndRange: s.at}
	if b := s.nested(configBlock); b != nil {
		s.config = b.Body
	}
}
