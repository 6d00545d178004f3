package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/hcl/config"
)

// TestProtocolsWithAndWithoutDiode walks the whole table: every protocol over every network, with and without a diode,
// through Load and Check, and compares what an operator is told with what the table says.
func TestProtocolsWithAndWithoutDiode(t *testing.T) {
	want := map[string][2]bool{ // without, with a diode
		"syslog/tcp": {true, true}, "syslog/udp": {true, true},
		"opaque/udp": {true, true}, "opaque/tcp": {false, false},
		"relay/tcp": {true, false},
		"relp/tcp":  {true, true}, "http/tcp": {true, true}, "envelope/tcp": {true, true},
		"sealed/udp": {true, true},
	}
	if len(want) != len(config.Protocols()) {
		t.Fatalf("the table has %d rows, this test knows %d", len(config.Protocols()), len(want))
	}
	for _, p := range config.Protocols() {
		allowed, known := want[p.Name+"/"+p.Network]
		if !known {
			t.Errorf("%s over %s is not known to this test", p.Name, p.Network)
		}
		for i, diode := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%s/diode=%t", p.Name, p.Network, diode), func(t *testing.T) {
				problems := checkProtocol(t, p, diode)
				verdict := []config.Verdict{p.Direct, p.Diode}[i]
				if verdict.Allowed != allowed[i] {
					t.Errorf("the table says %+v", verdict)
				}
				if allowed[i] != !problems.HasErrors() {
					t.Errorf("problems:\n%s", problems)
				}
				if !allowed[i] && !strings.Contains(problems.String(), verdict.Why) {
					t.Errorf("the operator is not told why:\n%s", problems)
				}
			})
		}
	}
}

func checkProtocol(t *testing.T, p config.Protocol, diode bool) config.Problems {
	t.Helper()
	var b strings.Builder
	b.WriteString(minimal + "node \"near\" {}\nnode \"far\" {}\n")
	node, via := "near", ""
	if diode {
		node, via = "far", "via = diode.d"
		b.WriteString("diode \"d\" {\nfrom = node.near\nto = node.far\npairing = \"p\"\n" +
			"send {\ninterface = \"e0\"\nsource = \"10.0.0.1\"\ndestination = \"10.0.0.2:5760\"\n}\nreceive {\ninterface = \"e1\"\n}\n}\n")
	}
	connect := ""
	if p.Relays {
		connect = `connect = ["10.30.0.10:8081"]`
	}
	fmt.Fprintf(&b, "receiver %q \"r\" {\nnode = node.near\nport = 5514\n%s\n}\nsink \"file\" \"s\" {\nnode = node.%s\n}\n", p.Network, connect, node)
	if !p.Relays || diode {
		fmt.Fprintf(&b, "route \"x\" {\nfrom = [receiver.%s.r]\n%s\nto = [sink.file.s]\n}\n", p.Network, via)
	}
	c, problems := loadText("a.hcl", b.String())
	if c == nil {
		t.Fatalf("problems:\n%s", problems)
	}
	return config.Check(c, map[string]config.Traits{
		"receiver." + p.Network + ".r": {Protocol: p.Name, Network: p.Network, Encryption: "tls"},
		"sink.file.s":                  {Protocol: "file"},
	})
}

// TestCheckWithoutTraits: components whose plugins cannot be asked are left out, the others are still checked.
func TestCheckWithoutTraits(t *testing.T) {
	c := loadFile(t, "good_kics.hcl")
	if problems := config.Check(c, nil); len(problems) != 0 {
		t.Errorf("problems:\n%s", problems)
	}
}

// TestUnknownProtocolsAreTheirPluginsOwn: a third party's protocol is neither refused nor waved through where the rules
// do not depend on it.
func TestUnknownProtocolsAreTheirPluginsOwn(t *testing.T) {
	problems := checkProtocol(t, config.Protocol{Name: "modbus-log", Network: "udp"}, true)
	if problems.HasErrors() {
		t.Errorf("problems:\n%s", problems)
	}
}
