package capture

import "testing"

// FuzzBlock reads frames out of a block with any content: the kernel writes
// it, but nothing is read outside of it.
func FuzzBlock(f *testing.F) {
	f.Add(make([]byte, 256), 48, true)
	f.Fuzz(func(t *testing.T, content []byte, first int, header bool) {
		b := make(block, blockBytes)
		copy(b, content)
		vnet := 0
		if header {
			vnet = vnetBytes
		}
		for off, left := first, 100; left > 0; left-- {
			c, next, ok := b.frame(off, vnet)
			if !ok {
				return
			}
			if len(c.data) > len(b) {
				t.Fatal("a frame larger than its block")
			}
			off = next
		}
	})
}
