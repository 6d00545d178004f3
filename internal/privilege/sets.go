package privilege

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Sets are the capability sets of one thread.
type Sets struct {
	Permitted, Effective, Inheritable, Bounding, Ambient Set
}

// String prints all five on one line.
func (s Sets) String() string {
	return fmt.Sprintf("permitted %s; effective %s; inheritable %s; bounding %s; ambient %s",
		s.Permitted, s.Effective, s.Inheritable, s.Bounding, s.Ambient)
}

// Of reads the sets of the first thread of a process; 0 is the calling one.
func Of(pid int) (Sets, error) {
	return read(filepath.Join(procOf(pid), "status"))
}

// Threads reads the sets of every thread of a process; 0 is the calling one.
// Threads that end meanwhile are left out.
func Threads(pid int) ([]Sets, error) {
	files, err := filepath.Glob(filepath.Join(procOf(pid), "task", "*", "status"))
	if err != nil {
		return nil, fmt.Errorf("privilege: %w", err)
	}
	var out []Sets
	for _, file := range files {
		s, err := read(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("privilege: process %d: %w", pid, os.ErrNotExist)
	}
	return out, nil
}

func procOf(pid int) string {
	if pid == 0 {
		return "/proc/self"
	}
	return filepath.Join("/proc", strconv.Itoa(pid))
}

func read(path string) (Sets, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Sets{}, fmt.Errorf("privilege: %w", err)
	}
	s, err := parse(data)
	if err != nil {
		return Sets{}, fmt.Errorf("privilege: %s: %w", path, err)
	}
	return s, nil
}

// errNoSets says that a status file lacks at least one set.
var errNoSets = errors.New("does not name all five capability sets")

// parse reads the Cap lines of a status file (proc_pid_status(5)).
func parse(status []byte) (Sets, error) {
	var s Sets
	fields := map[string]*Set{
		"CapPrm": &s.Permitted, "CapEff": &s.Effective, "CapInh": &s.Inheritable, "CapBnd": &s.Bounding, "CapAmb": &s.Ambient,
	}
	for lines := bufio.NewScanner(bytes.NewReader(status)); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ":")
		into, ok := fields[key]
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil {
			return Sets{}, fmt.Errorf("%s: %w", key, err)
		}
		*into = Set(n)
		delete(fields, key)
	}
	if len(fields) > 0 {
		return Sets{}, errNoSets
	}
	return s, nil
}
