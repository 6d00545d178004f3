package sdk

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-gateway/sluice/sdk/proto"
)

// Code classifies an error that crosses the border between core and plugin.
type Code string

// The codes. They are part of the contract: a plugin or the core may decide on them.
const (
	CodeConfig        Code = "config"         // the configuration body is not acceptable
	CodeNotConfigured Code = "not-configured" // Run before Configure
	CodeRefused       Code = "refused"        // the core does not allow what was asked for
	CodeDropped       Code = "dropped"        // the batch was not kept; the loss is counted
	CodeTooLarge      Code = "too-large"      // a record or batch exceeds its limit
	CodeUnavailable   Code = "unavailable"    // try again later
	CodeGone          Code = "gone"           // the other side has ended
	CodeInternal      Code = "internal"       // a fault of the plugin or the core
)

// Error is an error that keeps its meaning across the border.
type Error struct {
	Code      Code
	Detail    string
	Retryable bool
	Path      []string // attribute inside `config {}`, when the error is about one
}

// Error renders code, path and detail.
func (e *Error) Error() string {
	if len(e.Path) > 0 {
		return string(e.Code) + ": " + strings.Join(e.Path, ".") + ": " + e.Detail
	}
	return string(e.Code) + ": " + e.Detail
}

// CodeOf returns the code of the first Error in err's chain, CodeInternal for any other error and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}

// maxDetail bounds a text that crosses the border, bytes (ours): trailers and control messages have small limits.
const maxDetail = 1024

// text makes s fit for the border: protobuf refuses strings that are not UTF-8, and a refused message breaks a stream.
func text(s string) string {
	if len(s) > maxDetail {
		s = s[:maxDetail] + "…"
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

// asError finds the Error in err's chain, with what was wrapped around it as the detail, or makes one.
func asError(err error) *Error {
	var e *Error
	if !errors.As(err, &e) {
		return &Error{Code: CodeInternal, Detail: err.Error()}
	}
	if e == nil { // a nil *Error in an error that is not nil: a common slip, which must not end the core
		return &Error{Code: CodeInternal, Detail: "an error without content"}
	}
	if whole := err.Error(); whole != e.Error() {
		return &Error{Code: e.Code, Detail: whole, Retryable: e.Retryable, Path: e.Path}
	}
	return e
}

// toStatus packs err so that fromStatus on the other side returns an *Error with the same code, path and text.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	e := asError(err)
	st, derr := status.New(codes.Unknown, text(e.Error())).WithDetails(errorMessage(e))
	if derr != nil {
		return status.Error(codes.Unknown, text(e.Error()))
	}
	return st.Err()
}

// ended is the error of a stream that broke: the end of ctx explains it better than what the transport says of it.
func ended(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return fromStatus(err)
}

// fromStatus unpacks what toStatus packed; errors of the transport itself become CodeGone or CodeUnavailable.
func fromStatus(err error) error {
	if err == nil {
		return nil
	}
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	for _, d := range st.Details() {
		if m, ok := d.(*proto.Error); ok {
			return errorFrom(m)
		}
	}
	switch st.Code() {
	case codes.Canceled, codes.Unavailable:
		return &Error{Code: CodeGone, Detail: text(st.Message()), Retryable: true}
	case codes.DeadlineExceeded:
		return &Error{Code: CodeUnavailable, Detail: text(st.Message()), Retryable: true}
	default:
		return &Error{Code: CodeInternal, Detail: text(st.Message())}
	}
}

func errorMessage(e *Error) *proto.Error {
	if e == nil {
		e = &Error{Code: CodeInternal, Detail: "no reason given"}
	}
	return &proto.Error{Code: text(string(e.Code)), Detail: text(e.Detail), Retryable: e.Retryable, Path: texts(e.Path)}
}

// maxPath bounds the path to an attribute (ours: blocks in a body are two or three deep).
const maxPath = 16

func texts(list []string) []string {
	var out []string
	for _, s := range list[:min(len(list), maxPath)] {
		out = append(out, text(s))
	}
	return out
}

// errorFrom bounds what it reads, too: a plugin may do without this package, and its words end up in logs and status.
func errorFrom(m *proto.Error) *Error {
	return &Error{Code: Code(text(m.GetCode())), Detail: text(m.GetDetail()), Retryable: m.GetRetryable(), Path: texts(m.GetPath())}
}
