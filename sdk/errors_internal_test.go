package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-gateway/sluice/sdk/proto"
)

func TestErrorsCrossTheBorder(t *testing.T) {
	whole := &Error{Code: CodeConfig, Detail: "no such file", Retryable: true, Path: []string{"tls", "certificate_file"}}
	tests := []struct {
		name string
		in   error
		want *Error
	}{
		{"whole", whole, whole},
		{"wrapped", fmt.Errorf("listen: %w", &Error{Code: CodeRefused, Detail: "no"}), &Error{Code: CodeRefused, Detail: "listen: refused: no"}},
		{"nil inside", (*Error)(nil), &Error{Code: CodeInternal, Detail: "an error without content"}},
		{"foreign", io.ErrUnexpectedEOF, &Error{Code: CodeInternal, Detail: "unexpected EOF"}},
		{"not UTF-8", &Error{Code: CodeDropped, Detail: "payload \xff\xfe"}, &Error{Code: CodeDropped, Detail: "payload \ufffd"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := fromStatus(toStatus(tt.in))
			if !reflect.DeepEqual(got, error(tt.want)) {
				t.Errorf("%#v, want %#v", got, tt.want)
			}
		})
	}
	if err := fromStatus(toStatus(nil)); err != nil {
		t.Errorf("nil became %v", err)
	}
}

func TestTransportErrorsHaveCodes(t *testing.T) {
	tests := []struct {
		in   error
		code Code
	}{
		{status.Error(codes.Unavailable, "x"), CodeGone},
		{status.Error(codes.Canceled, "x"), CodeGone},
		{status.Error(codes.DeadlineExceeded, "x"), CodeUnavailable},
		{status.Error(codes.ResourceExhausted, "x"), CodeInternal},
		{io.EOF, CodeInternal},
	}
	for _, tt := range tests {
		if got := CodeOf(fromStatus(tt.in)); got != tt.code {
			t.Errorf("%v: %s, want %s", tt.in, got, tt.code)
		}
	}
	if CodeOf(nil) != "" {
		t.Error("nil has a code")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ended(ctx, status.Error(codes.Canceled, "x")); !errors.Is(err, context.Canceled) {
		t.Errorf("the end of ctx became %v", err)
	}
}

func TestTextFitsTheBorder(t *testing.T) {
	got := text(strings.Repeat("ä", maxDetail))
	if len(got) > maxDetail+8 || !utf8.ValidString(got) {
		t.Errorf("%d bytes, valid %t", len(got), utf8.ValidString(got))
	}
	if m := errorMessage(nil); m.GetCode() == "" || m.GetDetail() == "" {
		t.Errorf("a rejection without an error became %v", m)
	}
}

// TestWordsOfAPluginAreBounded: a plugin that does without this package may say as much as the transport carries.
func TestWordsOfAPluginAreBounded(t *testing.T) {
	long := strings.Repeat("x", 64<<10)
	st, err := status.New(codes.Unknown, "x").WithDetails(&proto.Error{Code: long, Detail: long, Path: slices.Repeat([]string{long}, 100)})
	if err != nil {
		t.Fatal(err)
	}
	const most = (maxPath + 2) * (maxDetail + 8)
	for name, err := range map[string]error{
		"packed": st.Err(), "message": status.Error(codes.Internal, long), "of the transport": status.Error(codes.Unavailable, long),
	} {
		if got := fromStatus(err).Error(); len(got) > most {
			t.Errorf("%s: %d bytes", name, len(got))
		}
	}
	if got := holdReason(&proto.SinkState{Holding: true, Reason: long}); len(got) > maxDetail+8 {
		t.Errorf("reason to hold: %d bytes", len(got))
	}
}
