package udp_test

import (
	"fmt"
	"testing"

	"github.com/sluice-gateway/sluice/plugins/udp"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/sdktest"
)

func TestConformance(t *testing.T) {
	for name, config := range map[string]string{
		"opaque":   `{"protocol": "opaque"}`,
		"syslog":   `{"protocol": "syslog"}`,
		"critical": `{"protocol": "syslog", "critical": "notice"}`,
	} {
		t.Run(name, func(t *testing.T) {
			sdktest.Receiver(t, func() sdk.Receiver { return udp.New() }, sdktest.ReceiverSuite{
				Options: sdktest.Options{Config: config},
				Message: func(i int) []byte { return fmt.Appendf(nil, "<13>datagram %d", i) },
			})
		})
	}
}
