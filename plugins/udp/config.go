package udp

import (
	"encoding/json"
	"strings"

	"github.com/sluice-gateway/sluice/internal/severity"
	"github.com/sluice-gateway/sluice/sdk"
)

const version = "0.1.0"

// The values of protocol and encryption.
const (
	protocolSyslog = "syslog"
	protocolOpaque = "opaque"
	encryptionNone = "none"
	byEndpoint     = "by-endpoint"
)

type config struct {
	Protocol   string `json:"protocol"`
	Encryption string `json:"encryption"`
	Critical   string `json:"critical"` // a severity, or "none"
}

func decode(raw json.RawMessage) (config, error) {
	c := config{Encryption: encryptionNone, Critical: severity.None}
	err := sdk.Unmarshal(raw, &c)
	return c, err
}

func (c config) kind() sdk.Kind {
	if c.Protocol == protocolOpaque {
		return sdk.KindOpaque
	}
	return sdk.KindSyslog
}

func (c config) traits() sdk.Traits {
	return sdk.Traits{Protocol: c.Protocol, Network: "udp", Encryption: c.Encryption, Kind: c.kind().String()}
}

func (c config) problems() []sdk.Problem {
	var ps []sdk.Problem
	if c.Protocol == "" {
		ps = append(ps, sdk.Problem{Path: []string{"protocol"}, Text: "is missing", Advice: `write "syslog", or "opaque" for datagrams that are passed on unread`})
	} else if c.Protocol != protocolSyslog && c.Protocol != protocolOpaque {
		ps = append(ps, sdk.Problem{Path: []string{"protocol"}, Text: `must be "syslog" or "opaque"`})
	}
	if c.Encryption != encryptionNone && c.Encryption != byEndpoint {
		ps = append(ps, sdk.Problem{Path: []string{"encryption"}, Text: `must be "none" or "by-endpoint"`})
	}
	switch _, ok := severity.ParseThreshold(c.Critical); {
	case !ok:
		ps = append(ps, sdk.Problem{Path: []string{"critical"}, Text: `"` + c.Critical + `" is no severity`, Advice: "write one of " + strings.Join(severity.Thresholds(), ", ")})
	case c.Protocol == protocolOpaque && c.Critical != severity.None:
		ps = append(ps, sdk.Problem{
			Path: []string{"critical"}, Text: `cannot be used with protocol = "opaque": these datagrams are passed on unread`,
			Advice: `leave it out; class = "critical" of the receiver makes all its records critical`,
		})
	}
	return ps
}

func schema() sdk.Schema {
	return sdk.Schema{
		Doc: "Receives datagrams; each is one record, byte by byte.",
		Attributes: []sdk.Attribute{
			{
				Name: "protocol", Type: sdk.TypeString, Required: true, Enum: []string{protocolSyslog, protocolOpaque},
				Doc: "\"syslog\": one message per datagram (RFC 5426). \"opaque\": bytes that the gateway passes on unread.",
			},
			{
				Name: "encryption", Type: sdk.TypeString, Default: encryptionNone, Enum: []string{encryptionNone, byEndpoint},
				Doc: "What you state about the datagrams: \"by-endpoint\" when endpoints encrypt them. The gateway cannot see it; status shows it as declared.",
			},
			{
				Name: "critical", Type: sdk.TypeString, Default: severity.None, Enum: severity.Thresholds(),
				Doc: "With \"syslog\": messages of this severity or a more severe one travel in the critical class, the others in bulk. Order is kept within a class only.",
			},
		},
	}
}
