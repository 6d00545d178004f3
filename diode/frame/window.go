package frame

// windowBits is how far behind the newest counter a frame may arrive. It is
// four times the 4096 frames after which a receiver gives a block up, and
// costs 2 KiB per session.
const windowBits = 16384

// MaxFrames is how many frames one session may seal (SP 800-38D, section 8.3,
// as applied by design): the sender opens a new session before, and a receiver
// refuses counters from here on.
const MaxFrames = 1 << 32

// Window is a sliding window over frame counters that refuses what was seen
// before (after RFC 6479, but simple: one bit per counter).
type Window struct {
	bits  [windowBits / 64]uint64
	top   uint64 // newest counter accepted plus one
	floor uint64 // counters below it are refused
}

// Restore makes the window refuse every counter below floor: what a receiver
// knows after a restart.
func (w *Window) Restore(floor uint64) {
	w.floor, w.top = floor, max(w.top, floor)
}

// Top is one more than the newest counter accepted.
func (w *Window) Top() uint64 { return w.top }

// Fresh says whether counter may still be accepted.
func (w *Window) Fresh(counter uint64) bool {
	if counter < w.floor || counter >= MaxFrames {
		return false
	}
	if counter >= w.top {
		return true
	}
	if w.top-counter > windowBits {
		return false
	}
	return w.bits[counter%windowBits/64]&(1<<(counter%64)) == 0
}

// Mark notes that an authentic frame with this counter, which was Fresh, was
// accepted.
func (w *Window) Mark(counter uint64) {
	if counter >= w.top {
		w.advance(counter + 1)
	}
	w.bits[counter%windowBits/64] |= 1 << (counter % 64)
}

func (w *Window) advance(top uint64) {
	if top-w.top >= windowBits {
		clear(w.bits[:])
		w.top = top
		return
	}
	for c := w.top; c < top; c++ {
		w.bits[c%windowBits/64] &^= 1 << (c % 64)
	}
	w.top = top
}
