package frame

import (
	"encoding/binary"
	"fmt"
	"time"
)

// testBytes is the part of a test frame that says something; the rest is
// padding up to a full shard, so that a test loads the wire as data does.
const testBytes = 8 + 8 + 4 + 4 + 4 + 4 + 8

// Test is one frame of a self-test: number Number of Count that are sent at
// Rate, as step Step of Steps in run Run.
type Test struct {
	Run           uint64
	Rate          uint64 // bits per second on the wire
	Step, Steps   uint32 // Step from 0
	Number, Count uint32 // Number from 0
	Sent          time.Time
}

// Append appends the plaintext, padded with zeros to size bytes, to b.
func (t *Test) Append(b []byte, size int) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint64(b, t.Run)
	b = binary.BigEndian.AppendUint64(b, t.Rate)
	for _, v := range [...]uint32{t.Step, t.Steps, t.Number, t.Count} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(t.Sent.UnixNano()))
	return append(b, make([]byte, max(0, size-(len(b)-start)))...)
}

// ParseTest reads the opened plaintext of a test frame.
func ParseTest(b []byte) (Test, error) {
	if len(b) < testBytes {
		return Test{}, fmt.Errorf("%w: test frame of %d bytes", ErrBody, len(b))
	}
	u32 := binary.BigEndian.Uint32
	t := Test{
		Run: binary.BigEndian.Uint64(b), Rate: binary.BigEndian.Uint64(b[8:]),
		Step: u32(b[16:]), Steps: u32(b[20:]), Number: u32(b[24:]), Count: u32(b[28:]),
		Sent: time.Unix(0, int64(binary.BigEndian.Uint64(b[32:]))),
	}
	if t.Step >= t.Steps || t.Number >= t.Count {
		return Test{}, fmt.Errorf("%w: test frame %d of %d in step %d of %d", ErrBody, t.Number, t.Count, t.Step, t.Steps)
	}
	return t, nil
}
