package warden

import (
	"context"
	"os"
	"slices"
	"strings"
)

// ownProgram is the program of this process, even when its file has been
// replaced since (proc(5)).
const ownProgram = "/proc/self/exe"

// Names under which something is kept: the socket that owns the nftables
// tables, the namespace of isolated monitoring points, and the socket that
// owns the tables in that one.
const (
	tableName    = "sluice-table"
	chamberName  = "sluice-namespace"
	chamberTable = "sluice-namespace-table"
)

// safe keeps descriptors where they outlive this process.
type safe interface {
	// take returns what an earlier process left; nil when it left nothing.
	take(ctx context.Context, name string) (*os.File, error)
	// keep takes the file over, in place of an earlier one of that name.
	keep(ctx context.Context, name string, file *os.File) error
	// tend sees that what is kept still is.
	tend(ctx context.Context) error
	// forget lets go of these.
	forget(names ...string)
}

// serviceVariables are for this process, not for those that it starts.
func serviceVariables() []string {
	return []string{"NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID", "WATCHDOG_USEC", "FDSTORE"}
}

// without removes variables from an environment.
func without(env, names []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(names, name)
	})
}
