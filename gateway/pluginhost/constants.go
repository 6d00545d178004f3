package pluginhost

import "time"

// Set by other programs.
const (
	// maxSocketPath is what fits a unix socket address (unix(7): 108 bytes with the closing NUL).
	maxSocketPath = 107
	// socketSuffix is what go-plugin appends to the directory: "/plugin-dirNNNNNNNNNN/pluginNNNNNNNNNN" (os.MkdirTemp
	// and os.CreateTemp take up to ten digits).
	socketSuffix = 38
)

// Ours.
const (
	startTimeout   = 10 * time.Second // from fork to the first answer; a plugin is ready in 20 to 60 ms here
	callTimeout    = 5 * time.Second  // Describe and Validate of a plugin that has started
	killPatience   = 2 * time.Second  // all of Stop; a kill takes 2 ms here
	pipePatience   = 500 * time.Millisecond
	gonePatience   = 500 * time.Millisecond // between a broken stream and the news that the process has ended
	drainPatience  = 60 * time.Second       // for a Run that was told to end; then its instance is killed
	maxBinary      = 512 << 20              // bytes of a plugin's file
	maxGreeting    = 8 << 10                // bytes of a plugin's first line on standard output; it has about 1 KiB
	maxLine        = 8 << 10                // bytes of one log line of a plugin
	linesPerSecond = 20                     // log lines of one plugin that pass: 160 KiB a second at most
	linesBurst     = 200
	logBytes       = 4 << 20  // bytes per second read from a plugin's standard error; beyond, the plugin waits
	logBytesBurst  = 16 << 20 //
	maxAttributes  = 32       // of one log line
)

// timing is what tests shorten.
type timing struct {
	healthEvery    time.Duration
	healthDeadline time.Duration
	healthMisses   int
	drain          time.Duration
	backoff        backoff
}

func defaultTiming() timing {
	return timing{
		healthEvery: 5 * time.Second, healthDeadline: 3 * time.Second, healthMisses: 3, drain: drainPatience,
		backoff: backoff{
			first: time.Second, most: time.Minute, healthy: time.Minute,
			limit: 10, window: 10 * time.Minute, rest: 10 * time.Minute,
		},
	}
}
