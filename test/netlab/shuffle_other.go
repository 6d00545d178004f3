//go:build !linux

package netlab

// Shuffle needs Linux.
func (o *OneWay) Shuffle(uint64, float64, int) { o.n.t.Fatal("netlab: shuffle needs linux") }
