package pluginhost

import (
	"cmp"
	"math"
	"strconv"
)

// Sandbox says how plugins are confined. The zero value confines fully and with the default limits.
type Sandbox struct {
	// Exempt says whether an exception "degraded_sandbox" covers a component: it may then run without namespaces, empty
	// root or landlock where this machine lacks them. Component "" is a plugin that is only asked what it is. nil: none
	// is covered.
	Exempt func(component string) bool
	// PluginUID and PluginGID are the user and group of plugins when the gateway is root. 0 means: user "sluice-plugin"
	// of /etc/passwd, else 65534.
	PluginUID, PluginGID int
	Limits               Limits
	// Cgroup is the control group below which plugins get theirs: a directory that the gateway may write to. "" looks
	// for one that was delegated to it.
	Cgroup string
}

// Limits bound what one plugin process uses up.
type Limits struct {
	Memory int64   // bytes; 0 = 1 GiB
	PIDs   int     // processes and threads; 0 = 256
	CPU    float64 // processors; 0 = no limit
}

// Defaults of Limits.
const (
	defaultMemory = 1 << 30 // bytes: a sink holds 8 MiB of batches per class, connections of a receiver some 10 KiB each
	defaultPIDs   = 256     // a plugin has 10 to 30 threads here; one that waits for a slow disk some more
	// sharedPIDs is how many times Limits.PIDs one user of all plugins may have, where no control group counts each
	// plugin's and no user namespace counts apart.
	sharedPIDs = 16
)

func (l Limits) withDefaults() Limits {
	l.Memory, l.PIDs = cmp.Or(l.Memory, defaultMemory), cmp.Or(l.PIDs, defaultPIDs)
	return l
}

// environment tells a Go runtime what it cannot read inside, as there is no /proc: it collects before the limit kills
// it, and does not start threads for processors that it does not have.
func (l Limits) environment() []string {
	env := []string{"GOMEMLIMIT=" + strconv.FormatInt(l.Memory/10*9, 10)}
	if l.CPU > 0 {
		env = append(env, "GOMAXPROCS="+strconv.Itoa(int(math.Ceil(l.CPU))))
	}
	return env
}

// Grant is a file or directory of the host that a plugin may use. It appears at the same path inside.
type Grant struct {
	Path  string // absolute, without symbolic links on the way
	Write bool   // a directory in which it may make, change and delete files and directories; else it only reads
}

// Layer is one barrier around plugins on this machine.
type Layer struct {
	Name   string
	OK     bool
	Reason string // why it is missing and what to do, or "" (a fact about it when it is there)
}
