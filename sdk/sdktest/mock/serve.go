package mock

import (
	"os"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

// Variable is the environment variable that makes a test binary play the mock: "receiver/panic-run" or "sink/". A host
// hands no environment to its plugins: there a test calls Serve itself, by the name of the file, say.
const Variable = "SLUICE_MOCK"

// Main plays the mock and exits when Variable is set, and otherwise returns at once. Call it first in TestMain.
func Main() {
	v, ok := os.LookupEnv(Variable)
	if !ok {
		return
	}
	kind, fault, _ := strings.Cut(v, "/")
	Serve(kind, Fault(fault))
	os.Exit(0)
}

// Serve is a plugin process's main with a fault.
func Serve(kind string, f Fault) {
	switch f {
	case ExitSilently:
		return
	case ExitLoudly:
		_, _ = os.Stderr.WriteString("no such device\n")
		os.Exit(3)
	case StdoutGarbage:
		_, _ = os.Stdout.WriteString("hello, I am starting up\n")
	case StdoutFlood:
		_, _ = os.Stdout.WriteString(strings.Repeat("x", 1<<20))
	case NeverServes:
		hang()
	}
	if kind == sdk.KindSink {
		sdk.Serve(NewSink(f))
		return
	}
	sdk.Serve(NewReceiver(f))
}

// hang waits for longer than any test. An empty select would end a process built without cgo before it serves: the
// runtime takes it for a deadlock.
func hang() { <-time.After(24 * time.Hour) }
