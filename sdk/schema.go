package sdk

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// AttrType is the type of a configuration attribute as an operator writes it.
//
// Duration, Bytes, Rate, BitRate and Percent are strings with units in HCL; a plugin receives them as JSON numbers:
// nanoseconds, bytes, events per second, bits per second and a fraction (0.25 for "25%").
type AttrType string

// The types of attributes.
const (
	TypeString     AttrType = "string"
	TypeNumber     AttrType = "number"
	TypeInt        AttrType = "int"
	TypeBool       AttrType = "bool"
	TypeStringList AttrType = "list(string)"
	TypeDuration   AttrType = "duration"
	TypeBytes      AttrType = "bytes"
	TypeRate       AttrType = "rate"
	TypeBitRate    AttrType = "bitrate"
	TypePercent    AttrType = "percent"
)

// Formats give a string attribute a meaning that the core acts on.
const (
	// FormatPath is a file that the plugin reads; a relative one is resolved against the state directory (Setup.Path).
	// The core lets the plugin see this file and no other.
	FormatPath = "path"
	// FormatOutput is a file that the plugin writes; a relative one is resolved likewise. The core makes its directory,
	// which the plugin may then use as it likes: it must be of no other use.
	FormatOutput = "output"
	// FormatCertificate names a certificate that the core looks up and hands over in Setup.Certificates.
	FormatCertificate = "certificate"
	// FormatHostPort is "address:port".
	FormatHostPort = "host-port"
)

// Attribute describes one attribute of a plugin's `config {}` block.
type Attribute struct {
	Name      string   `json:"name"`
	Type      AttrType `json:"type"`
	Required  bool     `json:"required,omitempty"`
	Default   any      `json:"default,omitempty"` // as written in HCL; nil = none
	Enum      []string `json:"enum,omitempty"`
	Min       *float64 `json:"min,omitempty"` // in the unit that the plugin receives
	Max       *float64 `json:"max,omitempty"`
	Format    string   `json:"format,omitempty"`
	Sensitive bool     `json:"sensitive,omitempty"` // a secret("name") reference is expected
	Doc       string   `json:"doc"`
}

// Block describes one nested block, at most one of each name.
type Block struct {
	Name     string `json:"name"`
	Required bool   `json:"required,omitempty"`
	Doc      string `json:"doc"`
	Schema   Schema `json:"schema"`
}

// Schema describes the body of `config {}`. The core decodes, checks and documents a body by it before the plugin
// sees anything.
type Schema struct {
	Doc        string      `json:"doc,omitempty"`
	Attributes []Attribute `json:"attributes,omitempty"`
	Blocks     []Block     `json:"blocks,omitempty"`
}

// Traits is what a configured plugin says of itself so that the core can check routes and open sockets.
type Traits struct {
	Protocol         string   `json:"protocol"`                    // "syslog", "opaque", "file", "kics-telemetry" …
	Network          string   `json:"network,omitempty"`           // what a receiver listens on: "tcp", "udp" or ""
	Answers          bool     `json:"answers,omitempty"`           // sends application data back to endpoints
	Encryption       string   `json:"encryption,omitempty"`        // "tls", "sealed", "by-endpoint" or "none"
	Kind             string   `json:"kind,omitempty"`              // content kind it yields or takes: "syslog", "opaque" or "any"
	Delivery         string   `json:"delivery,omitempty"`          // sinks: "acknowledged", "written" or "sent"
	VerifiesClients  string   `json:"verifies_clients,omitempty"`  // receivers with TLS: "yes", "no" or "elsewhere": whether endpoints must show a certificate
	AcceptsProtocols []string `json:"accepts_protocols,omitempty"` // sinks: receiver protocols they take; empty = any
}

// Problem is one finding of Validate in a decoded body. Path leads to the attribute inside `config {}`, for example
// ["tls", "certificate_file"]; the core turns it into file and line.
type Problem struct {
	Path   []string `json:"path,omitempty"`
	Text   string   `json:"text"`
	Advice string   `json:"advice,omitempty"`
}

// Error makes a Problem usable as an error.
func (p Problem) Error() string {
	where := strings.Join(p.Path, ".")
	if where == "" {
		return p.Text
	}
	return where + ": " + p.Text
}

// Info is what a plugin says of itself before it is configured.
type Info struct {
	Kind    string `json:"kind"` // KindReceiver or KindSink
	Name    string `json:"name"` // "tcp", "kics" …
	Version string `json:"version"`
	API     int    `json:"api"` // version of this contract, see APIVersion
	Schema  Schema `json:"schema"`
}

// Kinds of plugins.
const (
	KindReceiver = "receiver"
	KindSink     = "sink"
)

// APIVersion is the version of the contract that this package speaks.
const APIVersion = 1

// Unmarshal decodes a configuration body, as handed to Validate and Configure, into v and refuses unknown fields, so
// that a schema and its struct cannot drift apart unseen.
func Unmarshal(config json.RawMessage, v any) error {
	dec := json.NewDecoder(strings.NewReader(string(config)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return &Error{Code: CodeConfig, Detail: "body: " + err.Error()}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return &Error{Code: CodeConfig, Detail: "body: something follows the object"}
	}
	return nil
}
