package netlab

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// isolatedEnv names, in the process that Isolate starts, its namespace.
const isolatedEnv = "NETLAB_ISOLATED"

// Isolate runs the calling test again in a process that lives in a fresh
// namespace. It returns nil in the process that started it: the test returns
// then. In the other process it returns the lab, whose Self is the namespace.
// Only whole tests can be isolated, not subtests.
func Isolate(t *testing.T) *Lab {
	t.Helper()
	if name := os.Getenv(isolatedEnv); name != "" {
		lab := New(t)
		lab.self = &Namespace{Name: name, t: t}
		return lab
	}
	self := New(t).Namespace("self")
	args := []string{"-test.v", "-test.count=1", "-test.run=^" + regexp.QuoteMeta(t.Name()) + "$"}
	if deadline, ok := t.Deadline(); ok {
		args = append(args, "-test.timeout="+time.Until(deadline).String())
	}
	cmd := self.Command(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), isolatedEnv+"="+self.Name)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	switch {
	case err != nil:
		t.Errorf("in namespace %s: %v\n%s", self.Name, err, out.String())
	case strings.Contains(out.String(), "--- SKIP"):
		t.Skip(out.String())
	case testing.Verbose():
		t.Log(out.String())
	}
	return nil
}
