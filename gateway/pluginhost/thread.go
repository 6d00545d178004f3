package pluginhost

import (
	"os/exec"
	"runtime"
)

// startThread starts every plugin from one thread that lives as long as the Host: the kernel sends a child its parent
// death signal when the thread that forked it ends, not the process (prctl(2), PR_SET_PDEATHSIG). It never unlocks, so
// the thread ends with it.
func (h *Host) startThread() {
	runtime.LockOSThread()
	for start := range h.starts {
		start()
	}
}

// startOnThread runs cmd.Start on that thread. The caller is tracked, and Close kills what is tracked before it closes
// the channel, so the channel may be closed here only when the process is doomed.
func (h *Host) startOnThread(cmd *exec.Cmd) error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return ErrClosed
	}
	done := make(chan error, 1)
	// Sending under the lock keeps Close from closing the channel meanwhile; the thread takes a few milliseconds per start.
	h.starts <- func() { done <- cmd.Start() }
	h.mu.Unlock()
	return <-done
}
