// Command sluice-receiver-udp is the plugin process that receives datagrams. The gateway starts it.
package main

import (
	"github.com/sluice-gateway/sluice/plugins/udp"
	"github.com/sluice-gateway/sluice/sdk"
)

func main() { sdk.Serve(udp.New()) }
