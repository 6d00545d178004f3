// Package drain carries a request to stop in order from the call that makes it to the loop that obeys it.
//
//	Drain(ctx) ──► asked ──► the loop takes in nothing new, finishes what it has, calls end
//	    │                                                                   │
//	    ├── waits for ◄──────────────────────────────────────────────────── end
//	    └── ctx ends first ──► the loop's context is cancelled
//
// It starts no goroutine and decides nothing: what "finish" means is the loop's to know.
package drain
