package sinkkics_test

import (
	"fmt"
	"testing"
	"time"

	sinkkics "github.com/sluice-gateway/sluice/plugins/sink-kics"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/sdktest"
)

const node = "192.0.2.10:20001"

func record(i int) sdk.Record {
	return sdk.Record{Kind: sdk.KindOpaque, Received: time.Unix(1_800_000_000, 0), Payload: fmt.Appendf(nil, "datagram %d", i)}
}

func TestConformance(t *testing.T) {
	sdktest.Sink(t, func() sdk.Sink { return sinkkics.New() }, sdktest.SinkSuite{
		Options: sdktest.Options{
			Config:  `{"mode":"telemetry","rate":100000,"burst":500,"settle":20000000}`,
			Connect: map[string]sdktest.Target{node: {}},
		},
		Record: record,
	})
}
