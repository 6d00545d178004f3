package script_test

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// update is the usual flag of golden tests.
var update = flag.Bool("update", false, "write the output that the scripts compare with again")

// TestScripts runs every script with the programs in its PATH.
func TestScripts(t *testing.T) {
	bin := binDir(t)
	short, err := os.MkdirTemp("", "sl") // plugins' unix sockets lie below it, and a script's own directory is too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(short) })
	testscript.Run(t, testscript.Params{
		Dir:           filepath.Join("testdata", "script"),
		UpdateScripts: *update,
		Cmds:          map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "node": startNode},
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("TMPDIR", short)
			state, err := os.MkdirTemp(short, "s")
			if err != nil {
				return err
			}
			env.Setenv("S", state) // a state directory for sockets
			return tighten(env.WorkDir)
		},
	})
}

// exits is the command `exits CODE program [argument …]`: it runs a program and holds its exit code against CODE.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE program [argument ...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, not %d", got, want)
	}
}

// tighten takes write permission for others from what a script brings along: the program refuses such files.
func tighten(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		return os.Chmod(path, 0o600)
	})
}
