package gateway

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/hcl/config"
	"github.com/sluice-gateway/sluice/sdk"
)

// TestGuardPolicy: all that a fence lets pass or drops comes from the configuration by this way.
func TestGuardPolicy(t *testing.T) {
	far := netip.MustParseAddrPort("10.99.0.2:5760")
	source := netip.MustParseAddr("10.99.0.1")
	c := &config.Config{
		Nodes: []config.Node{
			{Name: "near", MonitoringPoints: []string{"eno3"}, ServiceInterfaces: []string{"eno1"}, NewInterfaces: "closed", Isolate: config.IsolateNamespace},
			{Name: "far", Isolate: config.IsolateNone},
		},
		Diodes: []config.Diode{{
			Name: "d", From: "near", To: "far",
			Send:    config.DiodeSend{Interface: "eno2", Source: source, Destination: far, MTU: 1500},
			Receive: config.DiodeReceive{Interface: "eno5", Listen: far, Source: source, Capture: config.CapturePacket},
		}},
		Receivers: []config.Receiver{
			{Address: "receiver.udp.a", Node: "near", Port: 514, Enabled: true},
			{Address: "receiver.tcp.b", Node: "near", Port: 6514, Enabled: true},
			{Address: "receiver.x.unknown", Node: "near", Port: 7, Enabled: true},
			{Address: "receiver.udp.c", Node: "far", Port: 8, Enabled: true},
		},
		Exceptions: []config.Exception{{Allows: "single_guard_barrier", On: "node.far", Until: time.Now().AddDate(0, 0, 1)}},
	}
	listens := func(network string) part { return part{traits: sdk.Traits{Network: network}} }
	plan := &Plan{Config: c, parts: map[string]part{
		"receiver.udp.a": listens("udp"), "receiver.tcp.b": listens("tcp"), "receiver.udp.c": listens("udp"),
	}}
	for node, want := range map[string]guard.Policy{
		"near": {
			Node: "near", Monitoring: []string{"eno3"}, Service: []string{"eno1"}, NewInterfaces: "closed", Isolate: true,
			DiodeTX: []string{"eno2"}, SendEnds: []guard.SendEnd{{Interface: "eno2", Source: source, Destination: far, MTU: 1500}},
			Ports: []guard.Port{{Network: "udp", Port: 514}, {Network: "tcp", Port: 6514}},
		},
		"far": {
			Node: "far", SingleBarrier: true, DiodeRX: []string{"eno5"},
			ReceiveEnds: []guard.ReceiveEnd{{Interface: "eno5", Source: source, Listen: far, Capture: true}},
			Ports:       []guard.Port{{Network: "udp", Port: 8}},
		},
	} {
		if got := GuardPolicy(plan, node, time.Now()); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%+v\nwant\n%+v", node, got, want)
		}
	}
}
