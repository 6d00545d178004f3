package recv_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestMain looks for goroutines left behind, but not while fuzzing: the
// fuzzer's workers come and go, and goleak would wait for them.
func TestMain(m *testing.M) {
	fuzzing := func(arg string) bool { return strings.HasPrefix(arg, "-test.fuzz") }
	if slices.ContainsFunc(os.Args, fuzzing) {
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}
