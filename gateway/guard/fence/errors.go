package fence

import (
	"errors"
	"strings"
)

// ErrTableOwned says that another living process holds our tables.
var ErrTableOwned = errors.New("another process owns the nftables table " + `"sluice"` + ": is another guard running?")

// MissingError says which features of the kernel the fence needs and did not
// find.
type MissingError struct {
	// Features names each, with where it comes from.
	Features []string
	// Remaining names the one egress drop that could still be installed;
	// empty when none could.
	Remaining string
}

// Error names the features, and what an exception would have to accept.
func (e *MissingError) Error() string {
	text := "guard: fence: this kernel lacks " + strings.Join(e.Features, ", ")
	if e.Remaining == "" {
		return text + "; no egress drop can be installed"
	}
	return text + "; only " + e.Remaining + ` remains (an exception "single_guard_barrier" accepts it)`
}
