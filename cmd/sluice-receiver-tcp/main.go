// Command sluice-receiver-tcp is the plugin process that receives syslog over TCP and TLS. The gateway starts it.
package main

import (
	"github.com/sluice-gateway/sluice/plugins/tcp"
	"github.com/sluice-gateway/sluice/sdk"
)

func main() { sdk.Serve(tcp.New()) }
