package tcp_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"testing"

	"github.com/sluice-gateway/sluice/plugins/tcp"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/sdktest"
)

func message(i int) []byte {
	return fmt.Appendf(nil, "<13>1 2026-10-11T22:14:15Z host app - - - %d", i)
}

func counted(i int) []byte { return fmt.Appendf(nil, "%d %s", len(message(i)), message(i)) }

func lines(i int) []byte { return append(message(i), '\n') }

func TestConformance(t *testing.T) {
	p := newPKI(t)
	for name, s := range map[string]sdktest.ReceiverSuite{
		"lines":    {Message: lines, Payload: message},
		"counted":  {Message: counted, Payload: message},
		"critical": {Options: sdktest.Options{Config: `{"critical": "notice"}`}, Message: lines, Payload: message},
		"tls": {
			Options: sdktest.Options{Config: `{"tls": {"certificate": "gw"}}`, Certificates: p.named},
			Message: lines, Payload: message,
			Client: func(_ testing.TB, c net.Conn) net.Conn {
				return tls.Client(c, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: p.pool, ServerName: "gw.test"})
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			sdktest.Receiver(t, func() sdk.Receiver { return tcp.New() }, s)
		})
	}
}
