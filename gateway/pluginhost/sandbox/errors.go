package sandbox

import (
	"encoding/json"
	"fmt"
)

// LayerError says which layer could not be applied.
type LayerError struct {
	Layer string
	Err   error
}

// Error names the layer first.
func (e *LayerError) Error() string { return e.Layer + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *LayerError) Unwrap() error { return e.Err }

// Report is what a process that probes prints: one line of JSON on standard output.
type Report struct {
	Layer    string `json:",omitempty"` // the layer that failed; "" = none
	Reason   string `json:",omitempty"`
	Landlock int    `json:",omitempty"` // version of the kernel's interface
}

// Line renders the report.
func (r Report) Line() string {
	raw, err := json.Marshal(r)
	if err != nil { // strings and a number always render
		return fmt.Sprintf(`{"Reason":%q}`, err)
	}
	return string(raw)
}
