// Command sluice is the gateway: `sluice run` is the daemon, the other verbs look at it and at its configuration.
//
// It holds the command line only; what the verbs do lives in the rooms.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/gateway/guard/warden"
	"github.com/sluice-gateway/sluice/gateway/pluginhost"
)

// Exit codes, the same for all verbs.
const (
	exitOK      = 0
	exitError   = 1
	exitChanges = 2 // `fmt --check` found something to change
)

// shimVerb re-executes this binary as the shim that becomes a plugin; it is for the plugin host alone.
const shimVerb = "plugin-exec"

func main() {
	if len(os.Args) > 1 && os.Args[1] == shimVerb {
		os.Exit(pluginhost.Shim(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == warden.KeeperVerb {
		os.Exit(warden.Keep(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	if len(os.Args) > 1 && os.Args[1] == warden.Verb {
		code := warden.Main(ctx, os.Args[2:], os.Stderr)
		stop()
		os.Exit(code)
	}
	err := rootCommand().ExecuteContext(ctx)
	stop()
	os.Exit(exitCode(err))
}

// errChanges makes fmt --check exit with 2.
var errChanges = errors.New("files are not formatted")

// errShown says that the problem has been printed already.
var errShown = errors.New("problems were found")

func exitCode(err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errChanges):
		return exitChanges
	case !errors.Is(err, errShown):
		fmt.Fprintln(os.Stderr, "sluice: "+err.Error())
	}
	return exitError
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "sluice",
		Short:         "A gateway for endpoint telemetry in industrial networks, with one-way links",
		Long:          "Sluice receives telemetry and alerts from endpoints, keeps them on disk until they are delivered, carries them\nacross one-way links and hands them to the systems that analyse them.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		runCommand(), validateCommand(), fmtCommand(), statusCommand(), interfacesCommand(), guardCommand(), diodeCommand(),
		exceptionsCommand(), auditCommand(), pluginCommand(), versionCommand(),
	)
	return root
}
