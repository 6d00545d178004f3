package gateway

import (
	"time"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/hcl/config"
)

// GuardPolicy is the desired state of a node's interfaces. Ports of receivers whose plugin is not known are left out:
// they are not opened, either.
func GuardPolicy(p *Plan, node string, now time.Time) guard.Policy {
	v := p.Config.For(node)
	out := guard.Policy{
		Node: v.Node.Name, Monitoring: v.Node.MonitoringPoints, Service: v.Node.ServiceInterfaces,
		NewInterfaces: v.Node.NewInterfaces, Isolate: v.Node.Isolate == config.IsolateNamespace,
		SingleBarrier: singleBarrier(p.Config, v.Node.Name, now),
	}
	for _, l := range v.Send {
		s := l.Diode.Send
		out.DiodeTX = append(out.DiodeTX, s.Interface)
		out.SendEnds = append(out.SendEnds, guard.SendEnd{
			Interface: s.Interface, Source: s.Source, Destination: s.Destination, MAC: s.DestinationMAC, MTU: s.MTU,
		})
	}
	for _, l := range v.Receive {
		r := l.Diode.Receive
		out.DiodeRX = append(out.DiodeRX, r.Interface)
		out.ReceiveEnds = append(out.ReceiveEnds, guard.ReceiveEnd{
			Interface: r.Interface, Source: r.Source, Listen: r.Listen, Capture: r.Capture == config.CapturePacket,
		})
	}
	for _, r := range v.Receivers {
		if part, ok := p.parts[r.Address]; ok && part.traits.Network != "" {
			out.Ports = append(out.Ports, guard.Port{Network: part.traits.Network, Port: r.Port})
		}
	}
	return out
}
