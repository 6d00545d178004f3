package zlog

import (
	"io"
	"os"
)

// isTerminal reports whether w is a character device: colour belongs on a terminal only.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}
