package script_test

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
)

// builds is where the programs under test are built, once per run.
type builds struct {
	once sync.Once
	dir  string
	err  error
}

// programs is written by binDir and removed by TestMain: the one thing that tests of this package share.
var programs builds //nolint:gochecknoglobals // TestMain cannot hand values to tests

func TestMain(m *testing.M) {
	code := m.Run()
	if programs.dir != "" {
		_ = os.RemoveAll(programs.dir)
	}
	os.Exit(code)
}

// binDir builds all programs at its first call and returns where they are.
func binDir(t *testing.T) string {
	t.Helper()
	programs.once.Do(func() {
		programs.dir, programs.err = os.MkdirTemp("", "sluice-bin-")
		if programs.err != nil {
			return
		}
		build := exec.Command("go", "build", "-o", programs.dir+"/", "./cmd/...") //nolint:noctx // belongs to the whole run
		build.Dir = "../.."
		if out, err := build.CombinedOutput(); err != nil {
			programs.err = fmt.Errorf("build: %w\n%s", err, out)
		}
	})
	if programs.err != nil {
		t.Fatal(programs.err)
	}
	return programs.dir
}
