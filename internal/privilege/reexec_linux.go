package privilege

import (
	"fmt"
	"runtime"
	"syscall"
)

// ownProgram is the program of this process, even when its file has been
// replaced since.
const ownProgram = "/proc/self/exe"

// ReExec reduces the privileges of this process to those of keep that it has,
// for good, by executing its own program anew with argv and env. The process
// id stays. With CAP_SETPCAP the bounding set shrinks to keep as well, and
// user 0 has nothing for being user 0. It returns only with an error; the
// process is then as it was.
func ReExec(keep []Cap, argv, env []string) error {
	failed := make(chan error)
	go func() {
		// Never unlocked: a thread that has been reduced in vain ends with
		// its goroutine.
		runtime.LockOSThread()
		if err := reduce(SetOf(keep...)); err != nil {
			failed <- err
			return
		}
		failed <- fmt.Errorf("privilege: execute %s: %w", ownProgram, syscall.Exec(ownProgram, argv, env))
	}()
	return <-failed
}
