package hostile_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	sinkfile "github.com/sluice-gateway/sluice/plugins/sink-file"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/test/hostile"
)

// What this binary is to play when it is executed again.
const (
	controlVariable = "SLUICE_TEST_CONTROL" // JSON of hostile.Orders: the attacks, unconfined
	victimVariable  = "SLUICE_TEST_VICTIM"  // a process to be attacked by them
)

// TestMain lets this binary play all parts.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == "plugin-exec":
		os.Exit(pluginhost.Shim(os.Args[2:]))
	case os.Getenv(sdk.Handshake().MagicCookieKey) != "":
		_, name, _ := strings.Cut(strings.TrimPrefix(filepath.Base(os.Args[0]), "sluice-"), "-")
		playPlugin(name)
		os.Exit(0)
	case os.Getenv(controlVariable) != "":
		playControl(os.Getenv(controlVariable))
		os.Exit(0)
	case os.Getenv(victimVariable) != "":
		playVictim()
		os.Exit(0)
	case os.Getenv(hostVariable) != "":
		playHost(os.Getenv(hostVariable))
		os.Exit(0)
	case os.Getenv("HOSTILE_SPAWNED") != "":
		os.Exit(0) // the attack program/itself has worked
	}
	goleak.VerifyTestMain(m)
}

func playPlugin(name string) {
	switch {
	case name == hostile.SteadyName:
		sdk.Serve(hostile.NewSteady())
	case name == sinkFile:
		sdk.Serve(sinkfile.New())
	case strings.HasPrefix(name, "raw-"):
		_, _ = fmt.Fprintln(os.Stderr, hostile.ServeRaw(name))
		os.Exit(1)
	default:
		sdk.Serve(hostile.New(name))
	}
}

// playControl tries attacks and prints their outcomes, one in a line.
func playControl(raw string) {
	var orders struct {
		Attacks []string      `json:"attacks"`
		Place   hostile.Place `json:"place"`
	}
	err := json.Unmarshal([]byte(raw), &orders)
	var attacks []hostile.Attack
	if err == nil {
		attacks, err = hostile.Find(orders.Attacks...)
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	runtime.LockOSThread() // an attack may change its thread
	for _, a := range attacks {
		line, err := json.Marshal(a.Run(orders.Place))
		if err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		_, _ = fmt.Println(string(line))
	}
}

// playVictim lives until its standard input ends. Anybody of its user may trace it, also where only a parent could
// (Yama, ptrace_scope 1).
func playVictim() {
	_ = unix.Prctl(unix.PR_SET_PTRACER, ^uintptr(0), 0, 0, 0) // without Yama there is nothing to allow
	_, _ = fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
}
