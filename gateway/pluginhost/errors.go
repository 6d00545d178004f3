package pluginhost

import (
	"errors"
	"fmt"
	"strings"
)

// Sentinels.
var (
	// ErrPluginGone is wrapped by every error about an instance that has ended.
	ErrPluginGone = errors.New("plugin has ended")
	// ErrClosed is returned by a Host after Close.
	ErrClosed = errors.New("pluginhost: closed")
)

// NotInstalledError says that no directory holds the plugin.
type NotInstalledError struct {
	Kind, Name string
	Dirs       []string    // searched, in this order
	Installed  []Installed // what is there instead
	Suggestion string      // the closest name, or ""
}

// Error lists the directories and what they hold.
func (e *NotInstalledError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s plugin %q is not installed: no %s in %s",
		e.Kind, e.Name, fileName(e.Kind, e.Name), strings.Join(e.Dirs, ", "))
	if e.Suggestion != "" {
		fmt.Fprintf(&b, "; did you mean %q?", e.Suggestion)
	}
	if len(e.Installed) == 0 {
		return b.String() + "; nothing is installed there"
	}
	b.WriteString("; installed are")
	for i, p := range e.Installed {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, " %s %s", p.Kind, p.Name)
	}
	return b.String()
}

// StartError says why a plugin did not start.
type StartError struct {
	Kind, Name string
	Reason     string // in words, with what to do
	Output     string // the end of what it printed on standard error, or ""
	Err        error  // may be nil
}

// Error renders reason, cause and output.
func (e *StartError) Error() string {
	s := fmt.Sprintf("plugin %s %s: %s", e.Kind, e.Name, e.Reason)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Output != "" {
		s += fmt.Sprintf("; its last output: %q", e.Output)
	}
	return s
}

// Unwrap returns the cause.
func (e *StartError) Unwrap() error { return e.Err }

// ExitError says how an instance ended. It wraps ErrPluginGone.
type ExitError struct {
	Component string
	Status    string // "exit status 2", "signal: killed"
	Killed    string // why the host killed it, or ""
	Panic     string // the first line of its panic, or ""
}

// Error renders what is known.
func (e *ExitError) Error() string {
	s := e.Component + ": plugin has ended"
	if e.Killed != "" {
		return s + ": killed by the gateway: " + e.Killed
	}
	s += ": " + e.Status
	if e.Panic != "" {
		s += ": " + e.Panic
	}
	return s
}

// Unwrap returns ErrPluginGone.
func (e *ExitError) Unwrap() error { return ErrPluginGone }
