package pluginhost

import "time"

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
	Confinement []string  // barriers that hold it in, read back where the kernel tells
	Missing     []string  // barriers that do not, each with the reason
}
