package guard

import (
	"fmt"
	"testing"
)

// BenchmarkDecide measures what each change of an interface costs.
func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{8, 100, 1000} {
		b.Run(fmt.Sprintf("%d-interfaces", n), func(b *testing.B) {
			links := []link{loopback()}
			for i := 2; i <= n; i++ {
				l := ethernet(i, fmt.Sprint("eth", i))
				l.mac = fmt.Sprintf("02:00:00:00:%02x:%02x", i/256, i%256)
				links = append(links, l)
			}
			p, mem := Policy{Monitoring: []string{"eth3"}, DiodeTX: []string{"eth4"}}, newMemory()
			for b.Loop() {
				decide(p, links, mem, 0)
			}
		})
	}
}

// BenchmarkJudge measures what each word of the fence costs.
func BenchmarkJudge(b *testing.B) {
	links := []link{loopback(), ethernet(2, "eth2"), ethernet(3, "eth3"), ethernet(4, "eth4")}
	p, f := Policy{Monitoring: []string{"eth3"}, DiodeTX: []string{"eth4"}}, newFakeFence()
	verdicts := decide(p, links, newMemory(), 0)
	f.follow(decisions(verdicts))
	s := f.Standing()
	if now := judge(p, verdicts, s); !now.whole {
		b.Fatal(now.reason)
	}
	for b.Loop() {
		judge(p, verdicts, s)
	}
}
