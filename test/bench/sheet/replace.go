package sheet

import (
	"bytes"
	"fmt"
	"os"
)

// Replace writes text between the marks begin and end of a document, each on a line of its own.
func Replace(path, begin, end, text string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, found := bytes.Cut(old, []byte(begin))
	_, after, ended := bytes.Cut(rest, []byte(end))
	if !found || !ended {
		return fmt.Errorf("%s: no lines %q and %q to write between", path, begin, end)
	}
	return os.WriteFile(path, []byte(string(before)+begin+"\n"+text+"\n"+end+string(after)), 0o644)
}
