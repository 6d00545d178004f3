package script_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/hcl/config"
)

// TestProtocolsWithPlugins is the table of protocols with and without a diode, as the plugins that ship decide it: each
// row is a configuration that goes through gateway.Check, which asks plugin processes.
func TestProtocolsWithPlugins(t *testing.T) {
	h := newHost(t)
	const (
		inClear  = `receiver.%s.r is not encrypted and no exception allows that`
		onlyKICS = `sink.kics.s takes only UDP receivers with protocol "opaque"`
	)
	for _, test := range []struct {
		name, network, body, sink string
		exception                 string
		refused                   string // empty: allowed
	}{
		{name: "syslog over TLS", network: "tcp", body: `tls { certificate = "gw" }`, sink: "file"},
		{name: "syslog over TCP", network: "tcp", sink: "file", exception: "unencrypted_tcp"},
		{name: "syslog over TCP, nothing said", network: "tcp", sink: "file", refused: fmt.Sprintf(inClear, "tcp")},
		{name: "syslog over UDP", network: "udp", body: `protocol = "syslog"`, sink: "file", exception: "unencrypted_udp"},
		{name: "syslog over UDP, nothing said", network: "udp", body: `protocol = "syslog"`, sink: "file", refused: fmt.Sprintf(inClear, "udp")},
		{name: "opaque over UDP", network: "udp", body: `protocol = "opaque"` + "\n" + `encryption = "by-endpoint"`, sink: "kics"},
		{name: "opaque over UDP to a file", network: "udp", body: `protocol = "opaque"` + "\n" + `encryption = "by-endpoint"`, sink: "file"},
		{name: "opaque over UDP, nothing said", network: "udp", body: `protocol = "opaque"`, sink: "kics", refused: fmt.Sprintf(inClear, "udp")},
		{name: "opaque over UDP, excepted", network: "udp", body: `protocol = "opaque"`, sink: "kics", exception: "unencrypted_udp"},
		{name: "syslog over TLS to KICS", network: "tcp", body: `tls { certificate = "gw" }`, sink: "kics", refused: onlyKICS},
		{name: "syslog over UDP to KICS", network: "udp", body: `protocol = "syslog"`, sink: "kics", exception: "unencrypted_udp", refused: onlyKICS},
		{name: "opaque over TCP", network: "tcp", body: `protocol = "opaque"`, sink: "file", refused: `protocol: "opaque" is not one of the values that are allowed here`},
		{name: "relay", network: "tcp", body: `protocol = "relay"`, sink: "file", refused: `protocol: "relay" is not one of the values that are allowed here`},
	} {
		for _, diode := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, diode %t", test.name, diode), func(t *testing.T) {
				text := protocolSite(test.network, test.body, test.sink, test.exception, diode)
				cfg, _, problems := config.LoadFS(fstest.MapFS{"site.hcl": {Data: []byte(text)}})
				if cfg == nil || problems.HasErrors() {
					t.Fatalf("%s\n%s", problems, text)
				}
				_, problems = gateway.Check(t.Context(), cfg, h, "")
				if (test.refused != "") != problems.HasErrors() || !strings.Contains(problems.String(), test.refused) {
					t.Errorf("want %q, the operator is told:\n%s", test.refused, problems)
				}
			})
		}
	}
}

// protocolSite is one receiver, one sink and one route between them.
func protocolSite(network, body, sink, exception string, diode bool) string {
	var b strings.Builder
	b.WriteString("gateway { site = \"table\" }\nnode \"near\" {}\nnode \"far\" {}\n")
	node, via := "near", ""
	if diode {
		node, via = "far", "via = diode.link"
		b.WriteString("diode \"link\" {\nfrom = node.near\nto = node.far\npairing = \"p\"\n" +
			"send {\ninterface = \"e0\"\nsource = \"10.0.0.1\"\ndestination = \"10.0.0.2:5760\"\n}\nreceive { interface = \"e1\" }\n}\n")
	}
	fmt.Fprintf(&b, "receiver %q \"r\" {\nnode = node.near\nport = 5514\nconfig {\n%s\n}\n}\n", network, body)
	target := map[string]string{
		"file": "config { path = \"records.ndjson\" }",
		"kics": "connect = [\"10.30.0.10:20001\"]\nconfig { mode = \"telemetry\" }",
	}[sink]
	fmt.Fprintf(&b, "sink %q \"s\" {\nnode = node.%s\n%s\n}\n", sink, node, target)
	fmt.Fprintf(&b, "route \"x\" {\nfrom = [receiver.%s.r]\n%s\nto = [sink.%s.s]\n}\n", network, via, sink)
	if exception != "" {
		fmt.Fprintf(&b, "exception \"e\" {\nallows = %q\non = receiver.%s.r\nreason = \"a row of a table\"\napproved_by = \"nobody\"\nuntil = \"2099-12-31\"\n}\n", exception, network)
	}
	return b.String()
}

// newHost starts plugins as the program does.
func newHost(t *testing.T) *pluginhost.Host {
	t.Helper()
	bin := binDir(t)
	dir, err := os.MkdirTemp("", "sl") // short: unix sockets lie below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h, err := pluginhost.New(pluginhost.Config{
		Dirs: []string{bin}, RuntimeDir: dir, Shim: []string{filepath.Join(bin, "sluice"), "plugin-exec"}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}
