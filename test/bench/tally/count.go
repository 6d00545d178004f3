package tally

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/sluice-gateway/sluice/test/bench/load"
)

// Result is what stands in a file.
type Result struct {
	Lines    uint64
	Distinct uint64 // messages that are there and equal to what was sent
	Twice    uint64 // lines beyond the first of a message
	Altered  uint64 // lines that are not what was sent, or hold no number of this run
}

// Missing is how many of sent messages are not there.
func (r Result) Missing(sent uint64) uint64 { return sent - min(sent, r.Distinct) }

// payloadKey is what stands before the message in an NDJSON line.
var payloadKey = []byte(`"payload":"`)

// Count reads a file of lines that should hold messages 0 to sent-1.
func Count(path string, f *load.Frames, sent uint64) (Result, error) {
	file, err := os.Open(path)
	if err != nil {
		return Result{}, fmt.Errorf("tally: %w", err)
	}
	defer file.Close() //nolint:errcheck // read only
	c := counter{frames: f, seen: make([]bool, sent)}
	r := bufio.NewReaderSize(file, 1<<20)
	for {
		line, err := r.ReadSlice('\n')
		if err == nil {
			c.line(bytes.TrimSuffix(line, []byte{'\n'}))
			continue
		}
		if errors.Is(err, io.EOF) {
			if len(line) > 0 {
				c.result.Altered++ // a torn last line
			}
			return c.result, nil
		}
		return c.result, fmt.Errorf("tally: %s: %w", path, err)
	}
}

type counter struct {
	frames *load.Frames
	seen   []bool
	want   []byte
	quoted []byte
	result Result
}

func (c *counter) line(line []byte) {
	c.result.Lines++
	n, ok := load.Number(line)
	if !ok || n >= uint64(len(c.seen)) || !c.equal(line, n) {
		c.result.Altered++
		return
	}
	if c.seen[n] {
		c.result.Twice++
		return
	}
	c.seen[n] = true
	c.result.Distinct++
}

// equal compares a line with message n: as it is, or as the payload of an NDJSON object.
func (c *counter) equal(line []byte, n uint64) bool {
	c.want = c.frames.Append(c.want[:0], n)
	if len(line) == 0 || line[0] != '{' {
		return bytes.Equal(line, c.want)
	}
	if _, rest, found := bytes.Cut(line, payloadKey); found {
		c.quoted = append(quote(c.quoted[:0], c.want), '"')
		if bytes.HasPrefix(rest, c.quoted) {
			return true
		}
	}
	var record struct { // another way to escape than the usual one is right as well
		Payload string `json:"payload"`
	}
	return json.Unmarshal(line, &record) == nil && record.Payload == string(c.want)
}

// quote escapes the two characters of a message that JSON does not allow in a string, RFC 8259, section 7.
func quote(dst, s []byte) []byte {
	for _, b := range s {
		if b == '"' || b == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, b)
	}
	return dst
}
