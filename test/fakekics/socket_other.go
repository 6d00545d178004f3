//go:build !linux

package fakekics

import "syscall"

func prepare(syscall.RawConn) error { return nil }

func droppedSoFar([]byte) uint32 { return 0 }
