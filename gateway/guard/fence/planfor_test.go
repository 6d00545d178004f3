package fence_test

import (
	"net/netip"
	"reflect"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/fence"
)

func TestPlanFor(t *testing.T) {
	addr, at := netip.MustParseAddr, netip.MustParseAddrPort
	policy := guard.Policy{
		Ports: []guard.Port{{Network: "udp", Port: 514}, {Network: "tcp", Port: 4000}, {Network: "tcp", Port: 4000}},
		SendEnds: []guard.SendEnd{
			{Interface: "dtx0", Source: addr("::ffff:10.0.0.1"), Destination: at("10.0.0.2:5000")},
			{Interface: "mac:02:00:00:00:00:04", Destination: at("10.0.0.2:4999")},
			{Interface: "mac:02:00:00:00:00:04", Destination: at("10.0.0.2:4999")},
			{Interface: "other", Destination: at("10.9.9.9:1")},
		},
		ReceiveEnds: []guard.ReceiveEnd{
			{Interface: "drx0", Source: addr("0.0.0.0"), Listen: at("[fd00::2%drx0]:6000")},
			{Interface: "drx1", Listen: at("10.0.0.9:6001"), Capture: true},
			{Interface: "lo", Listen: at("127.0.0.1:6002")},
		},
	}
	got := fence.PlanFor(policy, []guard.Decision{
		{Index: 6, Name: "drx1", Role: guard.DiodeRX, Rules: []string{"drx1"}},
		{Index: 1, Name: "lo", Role: guard.DiodeRX, Loopback: true, Rules: []string{"lo"}},
		{Index: 3, Name: "svc0", Role: guard.Service},
		{Index: 4, Name: "dtx0", Role: guard.DiodeTX, Rules: []string{"dtx0", "mac:02:00:00:00:00:04"}},
		{Index: 5, Name: "drx0", Role: guard.DiodeRX, Rules: []string{"drx0"}},
		{Index: 7, Name: "new0", Role: guard.Closed},
		{Index: 2, Name: "mon0", MAC: "02:00:00:00:00:02", Role: guard.Monitoring},
	})
	want := fence.Plan{
		Ports:   []guard.Port{{Network: "tcp", Port: 4000}, {Network: "udp", Port: 514}, {Network: "udp", Port: 6000}, {Network: "udp", Port: 6002}},
		Allowed: []int{3},
		Targets: []fence.Target{
			{Index: 2, Name: "mon0", MAC: "02:00:00:00:00:02", Role: guard.Monitoring},
			{Index: 4, Name: "dtx0", Role: guard.DiodeTX, Send: []fence.Flow{
				{Dest: at("10.0.0.2:4999")}, {Source: addr("10.0.0.1"), Dest: at("10.0.0.2:5000")},
			}},
			{Index: 5, Name: "drx0", Role: guard.DiodeRX, Receive: []fence.Flow{{Dest: at("[fd00::2]:6000")}}},
			{Index: 6, Name: "drx1", Role: guard.DiodeRX},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
}
