package relay_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/sdk"
)

// TestMain lets this binary play the shim and the plugin of TestRealPlugin.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == "plugin-exec":
		os.Exit(pluginhost.Shim(os.Args[2:]))
	case os.Getenv(sdk.Handshake().MagicCookieKey) != "":
		sdk.Serve(&echo{drained: make(chan struct{})})
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
