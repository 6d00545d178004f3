package pluginhost_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/internal/privilege"
	"github.com/sluice-gateway/sluice/sdk"
)

// TestMain lets this binary play all parts: the shim and the plugins that the host under test starts, and a host that
// is killed.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == "plugin-exec":
		os.Exit(pluginhost.Shim(os.Args[2:]))
	case os.Getenv(sdk.Handshake().MagicCookieKey) != "":
		playPlugin(filepath.Base(os.Args[0]))
		os.Exit(0)
	case os.Getenv(stepDown) != "":
		_ = os.Unsetenv(stepDown)
		_, _ = fmt.Println(privilege.ReExec(kept(), os.Args, os.Environ()))
		os.Exit(1)
	case os.Getenv("SLUICE_TEST_HOST") != "":
		playHost()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// stepDown in the environment makes this process execute itself anew with what a gateway keeps that root started.
const stepDown = "SLUICE_TEST_STEP_DOWN"

// kept is what the documentation of privileges says.
func kept() []privilege.Cap {
	return []privilege.Cap{
		privilege.SysAdmin, privilege.SetUID, privilege.SetGID, privilege.SetPCap, privilege.Chown, privilege.DACOverride, privilege.Kill,
	}
}

// playHost starts a plugin, prints both process ids and waits to be killed.
func playHost() {
	h, err := pluginhost.New(pluginhost.Config{
		Dirs: []string{os.Getenv("SLUICE_TEST_PLUGINS")}, RuntimeDir: os.Getenv("SLUICE_TEST_HOST"),
		Shim: []string{"/proc/self/exe", "plugin-exec"}, Log: slog.New(slog.DiscardHandler),
	})
	if err == nil {
		var i *pluginhost.Instance
		if i, err = h.Start(context.Background(), sdk.KindReceiver, os.Getenv("SLUICE_TEST_NAME"), "test"); err == nil {
			_, _ = fmt.Println(i.PID())
		}
	}
	if err != nil {
		_, _ = fmt.Println(err)
		os.Exit(1)
	}
	_, _ = io.Copy(io.Discard, bufio.NewReader(os.Stdin))
}
