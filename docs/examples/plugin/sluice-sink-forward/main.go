// Command sluice-sink-forward is the example sink as a plugin process.
package main

import (
	"github.com/sluice-gateway/sluice/docs/examples/plugin/forward"
	"github.com/sluice-gateway/sluice/sdk"
)

func main() { sdk.Serve(forward.New()) }
