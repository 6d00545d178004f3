package fence

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// loaded is one program in the kernel, with its counters, for one spot.
type loaded struct {
	program  *ebpf.Program
	counters *ebpf.Map
	id       int
	tag      string // of the code: the same for every program of that text
}

// loadProgram brings a program into the kernel. It runs nowhere yet.
func loadProgram(p program) (*loaded, error) {
	counters, err := ebpf.NewMap(&ebpf.MapSpec{Name: "sluice", Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: 2})
	if err != nil {
		return nil, fmt.Errorf("counters: %w", err)
	}
	l := &loaded{counters: counters}
	spec, err := p.assemble(counters)
	if err == nil {
		l.program, err = ebpf.NewProgram(spec)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("program %s: %w", p, err), counters.Close())
	}
	info, err := l.program.Info()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("program %s: %w", p, err), l.close())
	}
	id, _ := info.ID()
	l.id, l.tag = int(id), info.Tag
	return l, nil
}

// count returns one counter.
func (l *loaded) count(key uint32) (uint64, error) {
	var perCPU []uint64
	if err := l.counters.Lookup(key, &perCPU); err != nil {
		return 0, fmt.Errorf("counter: %w", err)
	}
	var sum uint64
	for _, n := range perCPU {
		sum += n
	}
	return sum, nil
}

func (l *loaded) close() error { return errors.Join(l.program.Close(), l.counters.Close()) }
