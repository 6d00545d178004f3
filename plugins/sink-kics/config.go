package sinkkics

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

const version = "0.1.0"

const modeTelemetry = "telemetry"

// From the specification.
const maxPayload = 65507 // bytes of a UDP datagram over IPv4: 65535 less the headers of RFC 768 and RFC 791

// Ours.
const (
	defaultRate   = 2000                  // datagrams per second
	maxRate       = 1_000_000             // datagrams per second
	defaultBurst  = 20                    // datagrams back to back: 10 ms worth at the default rate
	maxBurst      = 1000                  // datagrams
	defaultSettle = 50 * time.Millisecond // far above the round trip of a plant network
	minSettle     = time.Millisecond
	maxSettle     = 10 * time.Second
)

type config struct {
	Mode   string        `json:"mode"`
	Rate   float64       `json:"rate"`   // datagrams per second
	Burst  int           `json:"burst"`  // datagrams
	Settle time.Duration `json:"settle"` // nanoseconds
}

func decode(raw json.RawMessage) (config, error) {
	c := config{Rate: defaultRate, Burst: defaultBurst, Settle: defaultSettle}
	err := sdk.Unmarshal(raw, &c)
	return c, err
}

func traits() sdk.Traits {
	return sdk.Traits{Protocol: "kics-telemetry", Kind: sdk.KindOpaque.String(), Delivery: "sent", AcceptsProtocols: []string{"opaque"}}
}

func (c config) problems() []sdk.Problem {
	var ps []sdk.Problem
	add := func(attr, text, advice string) {
		ps = append(ps, sdk.Problem{Path: []string{attr}, Text: text, Advice: advice})
	}
	if c.Mode == "" {
		add("mode", "is missing", `write mode = "telemetry"`)
	} else if c.Mode != modeTelemetry {
		add("mode", fmt.Sprintf("%q is not known", c.Mode), `write mode = "telemetry"`)
	}
	if !(c.Rate >= 1 && c.Rate <= maxRate) {
		add("rate", "must be from 1/s to 1000000/s", "")
	}
	if c.Burst < 1 || c.Burst > maxBurst {
		add("burst", "must be from 1 to 1000", "")
	}
	if c.Settle < minSettle || c.Settle > maxSettle {
		add("settle", "must be from 1ms to 10s", "")
	}
	return ps
}

// target is the block's one `connect` address.
func target(s sdk.Setup) (string, error) {
	if len(s.Connect) != 1 {
		return "", &sdk.Error{Code: sdk.CodeConfig, Detail: fmt.Sprintf("a telemetry sink has exactly one connect target, not %d: write one sink for each node", len(s.Connect))}
	}
	if _, err := netip.ParseAddrPort(s.Connect[0]); err != nil {
		return "", &sdk.Error{Code: sdk.CodeConfig, Detail: "connect: " + err.Error()}
	}
	return s.Connect[0], nil
}

func schema() sdk.Schema {
	number := func(n float64) *float64 { return &n }
	return sdk.Schema{
		Doc: "Hands opaque datagrams to a node of KICS for Networks in UDP mode, unread and unchanged. The target is the block's one connect address.",
		Attributes: []sdk.Attribute{
			{Name: "mode", Type: sdk.TypeString, Required: true, Enum: []string{modeTelemetry}, Doc: "\"telemetry\": sends the datagrams of receivers with protocol = \"opaque\" on."},
			{Name: "rate", Type: sdk.TypeRate, Default: "2000/s", Min: number(1), Max: number(maxRate), Doc: "Datagrams per second at most; what comes faster waits in the spool."},
			{Name: "burst", Type: sdk.TypeInt, Default: defaultBurst, Min: number(1), Max: number(maxBurst), Doc: "Datagrams that may follow each other at once."},
			{
				Name: "settle", Type: sdk.TypeDuration, Default: "50ms", Min: number(float64(minSettle)), Max: number(float64(maxSettle)),
				Doc: "How long the network may take to report that the target's port is closed. A datagram is acknowledged when this has passed without an error.",
			},
		},
	}
}
