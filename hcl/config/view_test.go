package config_test

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/hcl/config"
)

func loadFile(t *testing.T, name string) *config.Config {
	t.Helper()
	src, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	c, problems := loadText(name, string(src))
	if c == nil {
		t.Fatalf("problems:\n%s", problems)
	}
	return c
}

func TestEachNodeDerivesItsHalf(t *testing.T) {
	c := loadFile(t, "good_kics.hcl")
	near := c.For("near")
	if len(near.Receivers) != 1 || len(near.Sinks) != 0 || len(near.Send) != 1 || len(near.Receive) != 0 {
		t.Fatalf("near: %+v", near)
	}
	if !near.Send[0].Carries("receiver.udp.r") || near.Send[0].Diode.Name != "d" {
		t.Errorf("near sends %+v", near.Send[0])
	}
	far := c.For("far")
	if len(far.Receivers) != 0 || len(far.Sinks) != 1 || len(far.Send) != 0 || len(far.Receive) != 1 {
		t.Fatalf("far: %+v", far)
	}
	if !far.Sinks[0].Takes("receiver.udp.r") || far.Sinks[0].Takes("receiver.udp.other") || !far.Receive[0].Carries("receiver.udp.r") {
		t.Errorf("far: %+v", far)
	}
	if v := c.For("nowhere"); v.Node != nil {
		t.Errorf("nowhere: %+v", v)
	}
}

func TestDefaultsAndQuantities(t *testing.T) {
	c := loadFile(t, "good_kics.hcl")
	d := c.Diode("d")
	if d.From != "near" || d.To != "far" || d.Send.Rate != 100e6 || d.Send.KeepSent != 14*24*time.Hour || d.Send.MTU != 1500 {
		t.Errorf("send %+v", d)
	}
	if d.Receive.Listen != d.Send.Destination || d.Receive.AlarmAfter != 5*time.Second || d.Receive.HoleAfter != time.Second {
		t.Errorf("receive %+v", d.Receive)
	}
	if d.FEC.Parity != 0.25 || d.FEC.DesignLoss != 0.01 || d.FEC.Interleave != 1 || d.FEC.MaxDelay != 10*time.Millisecond {
		t.Errorf("fec %+v", d.FEC)
	}
	if d.PreviousPairing != "" || d.Send.ResendRate != 25e6 || d.Receive.Capture != config.CaptureSocket || d.Receive.Memory != 256<<20 || d.Receive.WhenFull != "drop-new" {
		t.Errorf("diode %+v", d)
	}
	if !reflect.DeepEqual(d.FEC.Critical, config.ClassFEC{Parity: 0.25, DesignLoss: 0.01, MaxDelay: 10 * time.Millisecond}) {
		t.Errorf("critical %+v", d.FEC.Critical)
	}
	near, far := c.For("near").Node, c.For("far").Node
	if near.Spool.WhenFull != "refuse" || far.Spool.WhenFull != "drop-new" || near.Spool.MaxSize != 10<<30 || near.Spool.SegmentSize != 64<<20 || near.NewInterfaces != "closed" {
		t.Errorf("nodes %+v %+v", near, far)
	}
	if near.Isolate != config.IsolateNone || near.Sandbox != (config.Sandbox{Memory: 1 << 30, Processes: 256}) {
		t.Errorf("node %+v", near)
	}
	r := c.Receiver("receiver.udp.r")
	if !r.Enabled || r.Port != 5514 || r.MaxConnections != 2000 || r.Compression != "none" || r.Class != config.ClassBulk || r.Plugin != "udp" || r.Name != "r" {
		t.Errorf("receiver %+v", r)
	}
	if s := c.Sink("sink.kics.k"); len(s.Connect) != 1 || s.Connect[0].String() != "10.30.0.10:20001" {
		t.Errorf("sink %+v", s)
	}
	if c.Receiver("receiver.udp.x") != nil || c.Sink("sink.kics.x") != nil || c.Diode("x") != nil {
		t.Error("found what is not there")
	}
}

func TestDisabledComponentsAreLeftOut(t *testing.T) {
	c := loadFile(t, "good_disabled.hcl")
	if v := c.For("near"); len(v.Receivers) != 0 {
		t.Errorf("%+v", v)
	}
}

func TestTwoDiodesCarryTheSame(t *testing.T) {
	v := loadFile(t, "good_two_diodes.hcl").For("near")
	if len(v.Send) != 2 || !slices.Equal(v.Send[0].Receivers, v.Send[1].Receivers) || len(v.Send[0].Receivers) != 1 {
		t.Errorf("%+v", v.Send)
	}
}

func TestWordsOfTheFullLink(t *testing.T) {
	c := loadFile(t, "good_full_link.hcl")
	d := c.Diode("d")
	if d.PreviousPairing != "2025-11" || d.Send.ResendRate != 50e6 || d.Receive.Capture != config.CapturePacket || d.Receive.Memory != 512<<20 || d.Receive.WhenFull != "drop-oldest" {
		t.Errorf("diode %+v", d)
	}
	want := config.ClassFEC{Parity: 1, DesignLoss: 0.1, MaxDelay: time.Millisecond, Repeat: []time.Duration{500 * time.Millisecond, 2 * time.Second, 8 * time.Second}}
	if !reflect.DeepEqual(d.FEC.Critical, want) || !slices.Equal(d.FEC.Repeat, []time.Duration{time.Second}) || d.FEC.Parity != 0.15 {
		t.Errorf("fec %+v", d.FEC)
	}
	if d.Receive.HoleAfter != 9*time.Second {
		t.Errorf("holes after %s: before the last repeat of the critical class has had its time", d.Receive.HoleAfter)
	}
	if r := c.Receiver("receiver.udp.r"); r.Class != config.ClassCritical {
		t.Errorf("receiver %+v", r)
	}
}

// TestCriticalClassTakesWhatIsSaidForAll: only what is written in its block differs.
func TestCriticalClassTakesWhatIsSaidForAll(t *testing.T) {
	for body, want := range map[string]config.ClassFEC{
		`parity = "50%"`: {Parity: 0.5, DesignLoss: 0.05, MaxDelay: time.Millisecond, Repeat: []time.Duration{time.Second}},
		`repeat = []`:    {Parity: 0.4, DesignLoss: 0.05, MaxDelay: time.Millisecond},
		``:               {Parity: 0.4, DesignLoss: 0.05, MaxDelay: time.Millisecond, Repeat: []time.Duration{time.Second}},
	} {
		c := loadDiodes(t, `drop-oldest`, diodeText("d", "far", fmt.Sprintf("fec {\nparity = \"40%%\"\ndesign_loss = \"5%%\"\nmax_delay = \"1ms\"\nrepeat = [\"1s\"]\ncritical {\n%s\n}\n}\n", body)))
		d := c.Diode("d")
		if got := d.FEC.Critical; got.Parity != want.Parity || got.DesignLoss != want.DesignLoss || got.MaxDelay != want.MaxDelay || !slices.Equal(got.Repeat, want.Repeat) {
			t.Errorf("%q: %+v, want %+v", body, got, want)
		}
		if d.Receive.WhenFull != "drop-oldest" {
			t.Errorf("when full %q, the receiving node says drop-oldest", d.Receive.WhenFull)
		}
	}
}

func TestFindNodeSuggests(t *testing.T) {
	c := loadFile(t, "good_kics.hcl")
	if n, err := c.FindNode("far"); err != nil || n.Name != "far" {
		t.Errorf("%v %v", n, err)
	}
	if _, err := c.FindNode("nearr"); err == nil || !strings.Contains(err.Error(), "did you mean near?") {
		t.Errorf("%v", err)
	}
}

func TestProblemAtFindsTheBestPlace(t *testing.T) {
	const src = minimal + `node "n" {}
receiver "tcp" "r" {
  node = node.n
  port = 6514
  config {
    protocol = "syslog"
    tls {
      certificate = "x"
    }
  }
}
`
	c, problems := loadText("a.hcl", src)
	if c == nil {
		t.Fatalf("%s", problems)
	}
	for _, x := range []struct {
		component, path, place string
	}{
		{"receiver.tcp.r", "protocol", "a.hcl:9:16"},
		{"receiver.tcp.r", "tls.certificate", "a.hcl:11:21"},
		{"receiver.tcp.r", "tls.missing", "a.hcl:10:5"},
		{"receiver.tcp.r", "port", "a.hcl:7:10"},
		{"receiver.tcp.r", "missing", "a.hcl:5:1"},
		{"receiver.tcp.r", "", "a.hcl:5:1"},
		{"receiver.tcp.absent", "port", "."},
	} {
		var path []string
		if x.path != "" {
			path = strings.Split(x.path, ".")
		}
		p := c.ProblemAt(x.component, path, "text", "advice")
		if p.Place() != x.place || p.Rule != config.RulePlugin || p.Severity != config.Error {
			t.Errorf("%s %s: %+v", x.component, x.path, p)
		}
	}
}
