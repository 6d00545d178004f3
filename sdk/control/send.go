package control

import (
	"encoding/binary"
	"fmt"
	"syscall"
)

// AnswerBytes is the size of an encoded Answer.
//
// A send request is a frame whose content is a row of payloads, each behind its length:
//
//	0  4  payload length, 0 to 65535
//	4  …  payload
//
// An empty request asks only for a pending error. The answer has eight bytes: the datagrams that the kernel took and
// the socket's errno (0 = none).
const AnswerBytes = 8

// PayloadOverhead is what a datagram takes in a send request beyond its payload.
const PayloadOverhead = 4

// AppendPayload appends one payload to a send request under construction.
func AppendPayload(frame, payload []byte) []byte {
	frame = binary.LittleEndian.AppendUint32(frame, uint32(len(payload)))
	return append(frame, payload...)
}

// NextPayload reads the first payload of a send request's content and returns what follows it.
func NextPayload(b []byte) (payload, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, fmt.Errorf("%w: %d bytes, a payload has a length of 4", ErrFrame, len(b))
	}
	n := binary.LittleEndian.Uint32(b)
	if n > MaxDatagram || int(n) > len(b)-4 {
		return nil, nil, fmt.Errorf("%w: payload of %d bytes, %d left", ErrFrame, n, len(b)-4)
	}
	return b[4 : 4+n], b[4+n:], nil
}

// Answer is the core's answer to a send request.
type Answer struct {
	Taken uint32
	Errno syscall.Errno
}

// Append appends the answer's bytes.
func (a Answer) Append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, a.Taken)
	return binary.LittleEndian.AppendUint32(dst, uint32(a.Errno))
}

// ParseAnswer reads an answer of AnswerBytes.
func ParseAnswer(b []byte) (Answer, error) {
	if len(b) != AnswerBytes {
		return Answer{}, fmt.Errorf("%w: answer of %d bytes", ErrFrame, len(b))
	}
	return Answer{Taken: binary.LittleEndian.Uint32(b), Errno: syscall.Errno(binary.LittleEndian.Uint32(b[4:]))}, nil
}
