package guard

import (
	"fmt"
	"strconv"
	"strings"
)

// prober looks at settings of the machine, for an examination.
type prober interface {
	// ReadFile reads a file of /proc.
	ReadFile(path string) ([]byte, error)
	// Device asks the driver of an interface.
	Device(name string) (device, error)
}

// device is what a driver tells.
type device struct {
	features                             map[string]bool // by ethtool's names, such as "rx-gro"
	rxRing, rxRingMax, txRing, txRingMax int             // frames; 0 = it has none or does not tell
}

func (e *exam) device() (device, bool) {
	d, err := e.g.prober.Device(e.link.name)
	if err != nil {
		e.warn("offloads", err.Error(), "ask with: ethtool -k "+e.link.name)
		return device{}, false
	}
	return d, true
}

// sysctl reads one kernel parameter by its dotted name. Interface names in it
// may have dots of their own, which the kernel shows as they are in /proc.
func (e *exam) sysctl(name string) (int, error) {
	path := "/proc/sys/" + strings.ReplaceAll(strings.ReplaceAll(name, ".", "/"), strings.ReplaceAll(e.link.name, ".", "/"), e.link.name)
	text, err := e.g.prober.ReadFile(path)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return n, nil
}

func (e *exam) sysctlOr(name string, otherwise int) int {
	if n, err := e.sysctl(name); err == nil {
		return n
	}
	return otherwise
}

func (e *exam) sysctlAtLeast(fact, name string, least int, unit string) {
	n, err := e.sysctl(name)
	switch {
	case err != nil:
		e.warn(fact, err.Error(), "read it with: sysctl "+name)
	case n < least:
		e.warn(fact, fmt.Sprintf("%s %d %s", name, n, unit), fmt.Sprintf("sysctl -w %s=%d", name, least))
	default:
		e.ok(fact, fmt.Sprintf("%s %d %s", name, n, unit))
	}
}

func joined(names []string) string { return strings.Join(names, ", ") }
