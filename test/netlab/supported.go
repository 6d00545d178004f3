package netlab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// tools that the lab runs, with the Debian package that has them.
func tools() map[string]string {
	return map[string]string{"ip": "iproute2", "nft": "nftables", "ethtool": "ethtool"}
}

// Supported returns nil when network namespaces can be built here, and
// otherwise an error that says what is missing.
func Supported() error {
	if runtime.GOOS != "linux" {
		return errors.New("netlab: network namespaces exist only on Linux")
	}
	if os.Geteuid() != 0 {
		return errors.New("netlab: not root: network namespaces cannot be made")
	}
	var missing []string
	for tool, pkg := range tools() {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, fmt.Sprintf("%s (apt-get install %s)", tool, pkg))
		}
	}
	if len(missing) > 0 {
		return errors.New("netlab: missing " + strings.Join(missing, ", "))
	}
	return nil
}

// Require skips the test, with the reason, where Supported says so.
func Require(tb testing.TB) {
	tb.Helper()
	if err := Supported(); err != nil {
		tb.Skip(err)
	}
}
