//go:build linux

package privilege

// OfThread reads those of the calling thread.
func OfThread() (Sets, error) {
	p, e, i, err := ofThread()
	return Sets{Permitted: p, Effective: e, Inheritable: i}, err
}
