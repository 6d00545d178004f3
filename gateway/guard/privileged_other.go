//go:build !linux

package guard

import "os"

// OpenPacket needs Linux.
func OpenPacket(PacketQuery) (*os.File, error) { return nil, errNotLinux }

// OpenLook needs Linux.
func OpenLook(int, string) (*os.File, error) { return nil, errNotLinux }

func checkPacket(*os.File, int, string) error { return errNotLinux }
