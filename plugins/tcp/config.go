package tcp

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/internal/severity"
	"github.com/sluice-gateway/sluice/sdk"
)

const version = "0.1.0"

// Limits and defaults (ours).
const (
	defaultMaxMessage = 64 << 10  // bytes; RFC 5425 asks for 2048 at least and 8192 better
	minMaxMessage     = 2 << 10   // bytes; RFC 5425, section 4.3.1
	limitMaxMessage   = 512 << 10 // bytes; half of what a batch holds
	handshakePatience = 10 * time.Second
)

type config struct {
	Protocol    string        `json:"protocol"`
	MaxMessage  int           `json:"max_message"`  // bytes
	IdleTimeout time.Duration `json:"idle_timeout"` // 0 = none
	Critical    string        `json:"critical"`     // a severity, or "none"
	TLS         *tlsConfig    `json:"tls"`
}

type tlsConfig struct {
	Certificate     string `json:"certificate"`
	CertificateFile string `json:"certificate_file"`
	KeyFile         string `json:"key_file"`
	ClientCAFile    string `json:"client_ca_file"`
	VerifyClients   bool   `json:"verify_clients"`
}

func decode(raw json.RawMessage) (config, error) {
	c := config{Protocol: "syslog", MaxMessage: defaultMaxMessage, Critical: severity.None}
	err := sdk.Unmarshal(raw, &c)
	return c, err
}

func (c config) traits() sdk.Traits {
	t := sdk.Traits{Protocol: "syslog", Network: "tcp", Kind: sdk.KindSyslog.String(), Encryption: "none"}
	if c.TLS != nil {
		t.Encryption, t.VerifiesClients = "tls", "no"
		if c.TLS.VerifyClients {
			t.VerifiesClients = "yes"
		}
	}
	return t
}

func (c config) problems() []sdk.Problem {
	var ps []sdk.Problem
	if c.Protocol != "syslog" {
		ps = append(ps, sdk.Problem{Path: []string{"protocol"}, Text: "the tcp receiver does not speak " + `"` + c.Protocol + `"`, Advice: `write protocol = "syslog"`})
	}
	if c.MaxMessage < minMaxMessage || c.MaxMessage > limitMaxMessage {
		ps = append(ps, sdk.Problem{Path: []string{"max_message"}, Text: "must be from 2KiB to 512KiB"})
	}
	if c.IdleTimeout < 0 {
		ps = append(ps, sdk.Problem{Path: []string{"idle_timeout"}, Text: "must not be negative", Advice: `write "0s" for none`})
	}
	if _, ok := severity.ParseThreshold(c.Critical); !ok {
		ps = append(ps, sdk.Problem{Path: []string{"critical"}, Text: `"` + c.Critical + `" is no severity`, Advice: "write one of " + strings.Join(severity.Thresholds(), ", ")})
	}
	if c.TLS != nil {
		ps = append(ps, c.TLS.problems()...)
	}
	return ps
}

func (c tlsConfig) problems() []sdk.Problem {
	var ps []sdk.Problem
	add := func(attr, text, advice string) {
		ps = append(ps, sdk.Problem{Path: []string{"tls", attr}, Text: text, Advice: advice})
	}
	files := c.CertificateFile != "" || c.KeyFile != ""
	switch {
	case c.Certificate != "" && files:
		add("certificate", "cannot stand beside certificate_file and key_file", "keep one of the two")
	case c.Certificate == "" && !files:
		add("certificate", "is missing", `name a certificate, "auto" for a self-signed one, or give certificate_file and key_file`)
	case files && c.CertificateFile == "":
		add("certificate_file", "is missing beside key_file", "")
	case files && c.KeyFile == "":
		add("key_file", "is missing beside certificate_file", "")
	}
	if c.VerifyClients && c.ClientCAFile == "" {
		add("client_ca_file", "is missing: verify_clients needs the authorities that sign client certificates", "")
	}
	if !c.VerifyClients && c.ClientCAFile != "" {
		add("client_ca_file", "has no effect without verify_clients = true", "add verify_clients = true or remove it")
	}
	return ps
}

func schema() sdk.Schema {
	return sdk.Schema{
		Doc: "Receives syslog (RFC 5424, RFC 3164) over TCP or TLS. Octet counting and line feeds are told apart by themselves.",
		Attributes: []sdk.Attribute{
			{Name: "protocol", Type: sdk.TypeString, Default: "syslog", Enum: []string{"syslog"}, Doc: "What endpoints speak."},
			{
				Name: "max_message", Type: sdk.TypeBytes, Default: "64KiB", Min: new(float64(minMaxMessage)), Max: new(float64(limitMaxMessage)),
				Doc: "Longest message. A longer one closes its connection, is counted and logged.",
			},
			{Name: "idle_timeout", Type: sdk.TypeDuration, Default: "0s", Min: new(float64(0)), Doc: "Closes a connection that has sent nothing for this long; \"0s\" never does."},
			{
				Name: "critical", Type: sdk.TypeString, Default: severity.None, Enum: severity.Thresholds(),
				Doc: "Messages of this severity or a more severe one travel in the critical class, the others in bulk. Order is kept within a class only.",
			},
		},
		Blocks: []sdk.Block{{Name: "tls", Doc: "Makes the port speak TLS 1.2 or 1.3. Without it messages travel in clear text.", Schema: tlsSchema()}},
	}
}

func tlsSchema() sdk.Schema {
	return sdk.Schema{Attributes: []sdk.Attribute{
		{Name: "certificate", Type: sdk.TypeString, Format: sdk.FormatCertificate, Doc: "Name of the server's certificate; \"auto\" has the gateway make a self-signed one."},
		{Name: "certificate_file", Type: sdk.TypeString, Format: sdk.FormatPath, Doc: "PEM file with the server's certificate and the chain behind it, instead of certificate."},
		{Name: "key_file", Type: sdk.TypeString, Format: sdk.FormatPath, Doc: "PEM file with the private key of certificate_file."},
		{Name: "client_ca_file", Type: sdk.TypeString, Format: sdk.FormatPath, Doc: "PEM file with the authorities that sign client certificates."},
		{Name: "verify_clients", Type: sdk.TypeBool, Default: false, Doc: "Takes only clients with a certificate of client_ca_file; its URI or common name becomes the endpoint's identity."},
	}}
}
