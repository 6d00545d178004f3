package console

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Codes of an Error, for programs.
const (
	CodeNoLink     = "no-link"     // there is no such link on this node
	CodeOtherSide  = "other-side"  // the link has its other end here
	CodeBadRequest = "bad-request" // what was asked for makes no sense
	CodeNotNow     = "not-now"     // the link does not run, or another test does
	CodeRefused    = "refused"     // understood, and not done: the text says why
	CodeNeedsRoot  = "needs-root"  // noted, and not done: root does it without this node
	CodeInternal   = "internal"
)

// Error is a refusal that crosses the socket. Its text says where, why, and what to do.
type Error struct {
	Code string `json:"code"`
	Text string `json:"error"`
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

// Errorf makes an Error from where, why, and what to do, in one sentence.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Text: fmt.Sprintf(format, args...)}
}

// OtherSide is the error for a link whose other end is on another node. Here is what the link does on this node:
// "ends" or "begins".
func OtherSide(link, here, otherNode string) *Error {
	return Errorf(CodeOtherSide, "%s %s here: run this on %s", link, here, otherNode)
}

// NoLink is the error for a link that this node has no end of.
func NoLink(link, node string, known []string) *Error {
	if len(known) == 0 {
		return Errorf(CodeNoLink, "node %s has no link at all: name its other node with --node", node)
	}
	known = slices.Sorted(slices.Values(known))
	return Errorf(CodeNoLink, "node %s has no link %q: it has %s", node, link, strings.Join(known, ", "))
}

// asError makes any error one that can cross the socket.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return &Error{Code: e.Code, Text: err.Error()}
	}
	return &Error{Code: CodeInternal, Text: err.Error()}
}

// status is the HTTP status that goes with a code.
func (e *Error) status() int {
	switch e.Code {
	case CodeNoLink:
		return http.StatusNotFound
	case CodeOtherSide, CodeBadRequest:
		return http.StatusBadRequest
	case CodeNotNow:
		return http.StatusConflict
	case CodeNeedsRoot:
		return http.StatusForbidden
	case CodeRefused:
		return http.StatusUnprocessableEntity
	default:
		return http.StatusInternalServerError
	}
}
