package gateway_test

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/sdk"
)

// TestMain lets this binary play all parts: the tests, the shim and the plugins that the nodes under test start.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == "plugin-exec":
		os.Exit(pluginhost.Shim(os.Args[2:]))
	case os.Getenv(sdk.Handshake().MagicCookieKey) != "":
		playPlugin(filepath.Base(os.Args[0]))
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
