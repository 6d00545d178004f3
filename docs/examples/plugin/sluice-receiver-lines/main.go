// Command sluice-receiver-lines is the example receiver as a plugin process.
package main

import (
	"github.com/sluice-gateway/sluice/docs/examples/plugin/lines"
	"github.com/sluice-gateway/sluice/sdk"
)

func main() { sdk.Serve(lines.New()) }
