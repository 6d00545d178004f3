package sinkfile

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluice-gateway/sluice/sdk"
)

// linePrefix begins every line of ours; the id follows, so that it can be read back without parsing the line.
const linePrefix = `{"id":"`

// line is what is the same for all records of a delivery.
type line struct {
	receiver  string // as it stands between quotes
	delivered []byte // likewise
	late      bool
}

func newLine(receiver string, delivered time.Time, late bool) line {
	return line{receiver: string(appendText(nil, receiver)), delivered: appendTime(nil, delivered), late: late}
}

// append appends one record as a JSON object and a line feed (NDJSON). The payload is the text when it is valid UTF-8,
// else base64 (RFC 4648, section 4) under another key: exactly one of the two keys is there.
func (l *line) append(dst []byte, r *sdk.Record) []byte {
	dst = append(dst, linePrefix...)
	dst = hex.AppendEncode(dst, r.ID.Stream[:])
	dst = append(dst, '-')
	dst = strconv.AppendUint(dst, r.ID.Sequence, 10)
	dst = append(dst, `","receiver":"`...)
	dst = append(dst, l.receiver...)
	if r.Connection.Remote.IsValid() {
		dst = append(dst, `","remote":"`...)
		dst = appendRemote(dst, r)
	}
	if r.Connection.Endpoint != "" {
		dst = append(dst, `","endpoint":"`...)
		dst = appendText(dst, r.Connection.Endpoint)
	}
	if r.Connection.Interface != "" {
		dst = append(dst, `","interface":"`...)
		dst = appendText(dst, r.Connection.Interface)
	}
	dst = append(dst, `","kind":"`...)
	dst = append(dst, r.Kind.String()...)
	dst = append(dst, `","received_at":"`...)
	dst = appendTime(dst, r.Received)
	if !r.Event.IsZero() {
		dst = append(dst, `","event_at":"`...)
		dst = appendTime(dst, r.Event)
	}
	dst = append(dst, `","delivered_at":"`...)
	dst = append(dst, l.delivered...)
	dst = append(dst, '"')
	if l.late {
		dst = append(dst, `,"late":true`...)
	}
	return append(appendPayload(dst, r.Payload), "}\n"...)
}

// appendRemote takes the zone's text through appendText: it comes from the batch.
func appendRemote(dst []byte, r *sdk.Record) []byte {
	if r.Connection.Remote.Addr().Zone() != "" {
		return appendText(dst, r.Connection.Remote.String())
	}
	return r.Connection.Remote.AppendTo(dst)
}

func appendPayload(dst, payload []byte) []byte {
	if utf8.Valid(payload) {
		dst = append(dst, `,"payload":"`...)
		return append(appendEscaped(dst, payload), '"')
	}
	dst = append(dst, `,"payload_base64":"`...)
	return append(base64.StdEncoding.AppendEncode(dst, payload), '"')
}

func appendTime(dst []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(dst, time.RFC3339Nano)
}

// appendText appends a name that should be UTF-8; what is not becomes U+FFFD.
func appendText(dst []byte, s string) []byte {
	return appendEscaped(dst, strings.ToValidUTF8(s, "\uFFFD"))
}

// appendEscaped escapes what RFC 8259, section 7 demands: quotation mark, reverse solidus and control characters.
func appendEscaped[T []byte | string](dst []byte, s T) []byte {
	const digits = "0123456789abcdef"
	done := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[done:i]...)
		done = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, `\u00`...)
			dst = append(dst, digits[c>>4], digits[c&0xf])
		}
	}
	return append(dst, s[done:]...)
}
