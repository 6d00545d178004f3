package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Layers, in the order in which they are applied.
const (
	Namespaces     = "namespaces"
	EmptyRoot      = "empty root"
	ResourceLimits = "resource limits"
	NoPrivileges   = "no privileges"
	Landlock       = "landlock"
	Filter         = "system call filter"
)

// Layers lists all of them in order.
func Layers() []string {
	return []string{Namespaces, EmptyRoot, ResourceLimits, NoPrivileges, Landlock, Filter}
}

// Stay as a user or group means: no change.
const Stay = -1

// Spec is what becomes of a process.
type Spec struct {
	Name      string   // argv[0] of the plugin
	Probe     bool     // try every layer and report, instead of becoming a plugin
	Without   []string // layers to leave out
	UID, GID  int      // user and group to become, or Stay
	Processes uint64   // RLIMIT_NPROC: processes and threads of the user; 0 = as it is
	Paths     []Path   // all that exists for the plugin
}

// Path is a file or directory of the host that appears inside.
type Path struct {
	Source string // on the host: absolute, without symbolic links; "" = a small file system of its own, for Sockets
	Target string // inside: absolute
	Use    Use
}

// Use says what a Path is for.
type Use string

// Uses.
const (
	Read    Use = "read"    // a file, or a directory with all below it
	Write   Use = "write"   // a directory: make, change and delete regular files and directories
	Sockets Use = "sockets" // a directory: make a unix socket; see SocketDir
	Library Use = "library" // a file with code that the program is linked with
)

// SocketDir is where a plugin that has an empty root makes its socket: a file system of a few entries, which ends with
// it. The host gets a descriptor of it as the answer to the Spec.
const SocketDir = "/socket"

// Bounds of a Spec.
const (
	maxSpec  = 60 << 10 // bytes of JSON: below what a unix socket takes at once (net.core.wmem_default, 208 KiB)
	maxPaths = 256
)

func (s *Spec) has(layer string) bool { return !slices.Contains(s.Without, layer) }

// Encode renders the Spec for Receive.
func (s *Spec) Encode() ([]byte, error) {
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	if len(raw) > maxSpec || len(s.Paths) > maxPaths {
		return nil, fmt.Errorf("sandbox: %d paths in %d bytes, at most %d in %d are possible: allow a directory instead of its files",
			len(s.Paths), len(raw), maxPaths, maxSpec)
	}
	return raw, nil
}

// Receive reads a Spec until the end of what is sent.
func Receive(r io.Reader) (*Spec, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxSpec+1))
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	if len(raw) == 0 {
		return nil, errors.New("sandbox: nothing was said: the gateway has ended")
	}
	s := &Spec{}
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	return s, nil
}
