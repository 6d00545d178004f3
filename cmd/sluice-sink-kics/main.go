// Command sluice-sink-kics is the plugin process that hands datagrams to KICS for Networks. The gateway starts it.
package main

import (
	sinkkics "github.com/sluice-gateway/sluice/plugins/sink-kics"
	"github.com/sluice-gateway/sluice/sdk"
)

func main() { sdk.Serve(sinkkics.New()) }
