//go:build !linux

package guard

import "errors"

func realKernel() (system, error) {
	return nil, errors.New("guard: only Linux tells and enforces what an interface may carry: run Sluice on Linux")
}
