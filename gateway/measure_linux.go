package gateway

import "golang.org/x/sys/unix"

// measureLimit is how much of a disk may be written to measure it.
func measureLimit(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return min(measureBytes, int64(st.Bavail)*st.Bsize/10), nil // #nosec G115 -- far below 2^63 bytes
}
