// Command sluice-sink-file is the plugin process that writes records to files. The gateway starts it.
package main

import (
	sinkfile "github.com/sluice-gateway/sluice/plugins/sink-file"
	"github.com/sluice-gateway/sluice/sdk"
)

func main() { sdk.Serve(sinkfile.New()) }
