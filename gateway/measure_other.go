//go:build !linux

package gateway

// measureLimit is how much of a disk may be written to measure it: little where nobody says how much is free.
func measureLimit(string) (int64, error) { return measureBytes / 16, nil }
