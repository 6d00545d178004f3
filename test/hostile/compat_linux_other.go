//go:build linux && !amd64

package hostile

import "fmt"

func compat32(Place) error { return fmt.Errorf("%w: this attack is for x86-64", errImpossible) }

func x32(Place) error { return fmt.Errorf("%w: this attack is for x86-64", errImpossible) }
