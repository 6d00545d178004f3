//go:build linux

package fence_test

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/fence"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// inLab runs a benchmark on a thread inside a namespace with interfaces to be
// fenced, beside as many that are not.
func inLab(b *testing.B, interfaces int, f func(open func() *fence.Fence, plan fence.Plan) error) {
	b.Helper()
	n := netlab.New(b).Namespace("self")
	var plan fence.Plan
	for i := range interfaces {
		n.IP("link", "add", fmt.Sprintf("mon%d", i), "type", "veth", "peer", "name", fmt.Sprintf("far%d", i))
		n.Batch(fmt.Sprintf("link set mon%d up", i), fmt.Sprintf("link set far%d up", i))
		plan.Targets = append(plan.Targets, fence.Target{Index: n.Index(fmt.Sprintf("mon%d", i)), Name: fmt.Sprintf("mon%d", i), Role: guard.Monitoring})
	}
	err := n.Do(func() error {
		return f(func() *fence.Fence {
			table, err := fence.OpenTable()
			if err != nil {
				b.Fatal(err)
			}
			fen, err := fence.New(fence.Options{Table: table})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = fen.Close(); _ = table.Close() })
			return fen
		}, plan)
	})
	if err != nil {
		b.Fatal(err)
	}
}

func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1, 8} {
		b.Run(fmt.Sprintf("interfaces=%d", n), func(b *testing.B) {
			inLab(b, n, func(open func() *fence.Fence, plan fence.Plan) error {
				f := open()
				for b.Loop() {
					if err := f.Apply(plan); err != nil {
						return err
					}
					b.StopTimer()
					if err := f.Apply(fence.Plan{}); err != nil {
						return err
					}
					b.StartTimer()
				}
				return nil
			})
		})
	}
}

func BenchmarkAudit(b *testing.B) {
	for _, n := range []int{1, 8} {
		b.Run(fmt.Sprintf("interfaces=%d", n), func(b *testing.B) {
			inLab(b, n, func(open func() *fence.Fence, plan fence.Plan) error {
				f := open()
				if err := f.Apply(plan); err != nil {
					return err
				}
				before := cpu()
				for b.Loop() {
					if found, err := f.Audit(); err != nil || len(found.Drifts) > 0 {
						return fmt.Errorf("%+v %w", found, err)
					}
				}
				b.ReportMetric(float64(cpu()-before)/float64(b.N)/1000, "cpu-ms/op")
				return nil
			})
		})
	}
}

// cpu is the time that this process has used, in microseconds.
func cpu() int64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return (u.Utime.Nano() + u.Stime.Nano()) / 1000
}
