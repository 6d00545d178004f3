package sheet

import (
	"os"
	"runtime"
	"strings"
)

// ReadFile returns what stands in a file, or "unknown".
func ReadFile(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	return string(b)
}

// FirstLine returns the first line, without the white space around it.
func FirstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return strings.TrimSpace(line)
}

// CPUModel returns the name of the processor (proc(5), cpuinfo).
func CPUModel() string {
	for line := range strings.Lines(ReadFile("/proc/cpuinfo")) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// LoadAverage returns the three averages (proc(5), loadavg).
func LoadAverage() string {
	fields := strings.Fields(ReadFile("/proc/loadavg"))
	return strings.Join(fields[:min(3, len(fields))], " ")
}
