package tcp

import (
	"bytes"
	"fmt"
)

// Reasons for which a frame is bad; they label the counter and the log line.
const (
	reasonNoFraming = "no-framing" // neither a count nor a '<' where a frame must begin
	reasonCount     = "bad-count"  // the octet count is not MSG-LEN SP of RFC 6587
	reasonTooLarge  = "too-large"  // longer than max_message
)

// framingError ends a connection: behind a bad frame nobody knows where the next one begins.
type framingError struct {
	reason string
	detail string
}

func (e *framingError) Error() string { return "framing: " + e.reason + ": " + e.detail }

// framing cuts the messages of one connection out of its bytes (RFC 6587, section 3.4).
//
//	first byte of a frame   no frame yet     after a count    after a line
//	1 to 9                  octet counting   octet counting   counting if "N <" follows, else a line
//	'<'                     line             line             line
//	anything else           bad              bad              line (the tail of a message with line feeds in it)
//
// Line feeds and NULs between frames are skipped: senders append them to counted frames. Of a line only the line feed
// is taken off; a carriage return before it stays, because the payload is the sender's, byte by byte.
type framing struct {
	max     int // bytes of one message
	style   style
	scanned int // bytes of the unfinished line that hold no line feed
}

type style uint8

const (
	styleUnknown style = iota
	styleCounted
	styleLines
)

// next cuts the first frame off b. consumed 0 asks for more bytes; message nil with consumed > 0 means that something
// between frames was skipped. The message aliases b. Cutting does not depend on how the bytes arrive.
func (f *framing) next(b []byte) (message []byte, consumed int, err error) {
	if skip := between(b); skip > 0 {
		return nil, skip, nil
	}
	if len(b) == 0 || (b[0] == '\r' && len(b) == 1) {
		return nil, 0, nil
	}
	switch {
	case b[0] == '<':
		return f.line(b)
	case f.style == styleLines && b[0] >= '1' && b[0] <= '9':
		return f.countOrLine(b)
	case f.style == styleLines:
		return f.line(b)
	case b[0] >= '0' && b[0] <= '9':
		return f.counted(b)
	default:
		return nil, 0, &framingError{reasonNoFraming, fmt.Sprintf("a frame begins with a count or '<', not with byte %#02x", b[0])}
	}
}

// between measures what may stand between frames.
func between(b []byte) int {
	i := 0
	for i < len(b) {
		switch {
		case b[i] == '\n' || b[i] == 0:
			i++
		case b[i] == '\r' && i+1 < len(b) && b[i+1] == '\n':
			i += 2
		default:
			return i
		}
	}
	return i
}

func (f *framing) line(b []byte) ([]byte, int, error) {
	f.style = styleLines
	i := bytes.IndexByte(b[f.scanned:], '\n')
	end := f.scanned + i
	if i < 0 {
		end = len(b)
	}
	if end > f.max {
		return nil, 0, &framingError{reasonTooLarge, fmt.Sprintf("line of more than %d bytes", f.max)}
	}
	if i < 0 {
		f.scanned = end
		return nil, 0, nil
	}
	f.scanned = 0
	return b[:end], end + 1, nil
}

func (f *framing) counted(b []byte) ([]byte, int, error) {
	f.style = styleCounted
	size, head, err := f.count(b)
	if err != nil || head == 0 || len(b) < head+size {
		return nil, 0, err
	}
	return b[head : head+size], head + size, nil
}

// countOrLine decides between a counted frame and a line that happens to begin with a digit, for example the second
// line of a message with line feeds in it.
func (f *framing) countOrLine(b []byte) ([]byte, int, error) {
	if f.scanned > 0 {
		return f.line(b)
	}
	_, head, err := f.count(b)
	switch {
	case err != nil:
		return f.line(b)
	case head == 0 || len(b) == head:
		return nil, 0, nil
	case b[head] == '<':
		return f.counted(b)
	default:
		return f.line(b)
	}
}

// count reads "MSG-LEN SP"; head is its size, or 0 when bytes are missing.
func (f *framing) count(b []byte) (size, head int, err error) {
	if b[0] == '0' {
		return 0, 0, &framingError{reasonCount, "a count begins with 1 to 9"}
	}
	for i, c := range b {
		switch {
		case c == ' ':
			return size, i + 1, nil
		case c < '0' || c > '9':
			return 0, 0, &framingError{reasonCount, fmt.Sprintf("byte %#02x in the count", c)}
		}
		if size = size*10 + int(c-'0'); size > f.max {
			return 0, 0, &framingError{reasonTooLarge, fmt.Sprintf("count above %d bytes", f.max)}
		}
	}
	return 0, 0, nil
}

// rest judges what is left at the end of a connection: an unfinished line is a message, a counted frame is not.
func (f *framing) rest(b []byte) (message []byte, truncated bool) {
	switch {
	case len(b) == 0 || (len(b) == 1 && b[0] == '\r'):
		return nil, false
	case f.style == styleLines:
		return b, false
	default:
		return nil, true
	}
}
