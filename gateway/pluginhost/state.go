package pluginhost

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Values of State.Status.
const (
	StatusStarting   = "starting"
	StatusRunning    = "running"
	StatusBackingOff = "backing-off" // has ended; NextTry says when it is started again
	StatusFailed     = "failed"      // ended too often; tried again every ten minutes
	StatusStopped    = "stopped"
)

// State is what is known of a supervised component.
type State struct {
	Status      string
	PID         int    // 0 while none runs
	Version     string // of the plugin that runs or ran last
	SHA256      string // of its program
	Restarts    int    // starts after the first
	LastError   string // why it ended last
	Since       time.Time
	NextTry     time.Time // zero while it runs
	Confinement []string  // barriers that hold it in, see confinement
}

// confinement says what holds the process in. What the kernel tells of it is read back and listed only when it is so;
// the rest follows from how the process was made, or it would not run: the shim refuses to execute without it.
func (i *Instance) confinement() []string {
	pid := i.PID()
	out := []string{"environment of its own", "sealed program"}
	if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil &&
		strings.Contains(string(status), "\nNoNewPrivs:\t1\n") {
		out = append(out, "no_new_privs")
	}
	if group, err := unix.Getpgid(pid); err == nil && group == pid {
		out = append(out, "process group of its own")
	}
	return append(out, "dies with the gateway")
}
