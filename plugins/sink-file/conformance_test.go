package sinkfile_test

import (
	"testing"

	sinkfile "github.com/sluice-gateway/sluice/plugins/sink-file"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/sdktest"
)

func TestConformance(t *testing.T) {
	sdktest.Sink(t, func() sdk.Sink { return sinkfile.New() }, sdktest.SinkSuite{
		Options: sdktest.Options{Config: `{"path":"records.ndjson"}`},
		Record:  record,
	})
}
