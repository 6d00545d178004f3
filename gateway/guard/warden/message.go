package warden

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

// message is what travels, in both directions.
type message struct {
	ID   uint64          `json:"id,omitempty"` // of the request; 0 = nobody asked
	Verb string          `json:"verb,omitempty"`
	Body json.RawMessage `json:"body,omitempty"`
	Err  *answerError    `json:"error,omitempty"`
	File bool            `json:"file,omitempty"` // a descriptor travels with it
}

// The verbs.
const (
	verbStanding = "standing" // pushed: guard.Standing
	verbOrder    = "order"    // guard.Policy; the answer is a change
	verbRevise   = "revise"   // revision; the answer is a change
	verbReset    = "reset"    // By
	verbRelease  = "release"  // By
	verbAccept   = "accept"   // interfaceQuery
	verbAudit    = "audit"
	verbTest     = "test"
	verbPacket   = "packet" // guard.PacketQuery; the answer brings a socket
	verbLook     = "look"   // interfaceQuery; the answer brings a socket
	verbBuffer   = "buffer" // bufferQuery, with a socket
)

// By says who asks for something that an operator answers for, and why.
type By struct {
	Who    string `json:"who"`
	Reason string `json:"reason"`
}

// revision is a policy without the ports of receivers, and their numbers.
type revision struct {
	Policy guard.Policy `json:"policy"`
	Ports  []uint16     `json:"ports"`
}

// change says what an order has taken away.
type change struct {
	Weaker []string `json:"weaker,omitempty"`
}

type interfaceQuery struct {
	Index int    `json:"index,omitempty"`
	Name  string `json:"name"`
}

type bufferQuery struct {
	Bytes int `json:"bytes"`
}

// errMessage says that the other side does not speak this protocol.
var errMessage = errors.New("guard: warden: malformed message")

// readMessage reads one message. Any error leaves the stream unusable, except
// io.EOF between two messages, which is its end.
func readMessage(r io.Reader) (message, error) {
	var head [headerBytes]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return message{}, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > messageMost {
		return message{}, fmt.Errorf("%w: %d bytes, want 1 to %d", errMessage, n, messageMost)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return message{}, fmt.Errorf("%w: cut off: %w", errMessage, err)
	}
	var m message
	if err := json.Unmarshal(body, &m); err != nil {
		return message{}, fmt.Errorf("%w: %w", errMessage, err)
	}
	return m, nil
}

// frame returns the message as it travels.
func (m message) frame() ([]byte, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("guard: warden: encode %s: %w", m.Verb, err)
	}
	if len(body) > messageMost {
		return nil, fmt.Errorf("guard: warden: %s: message of %d bytes, at most %d travel", m.Verb, len(body), messageMost)
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...), nil
}

// pack puts a value into a message.
func pack(id uint64, verb string, body any) (message, error) {
	m := message{ID: id, Verb: verb}
	if body == nil {
		return m, nil
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return message{}, fmt.Errorf("guard: warden: encode %s: %w", verb, err)
	}
	m.Body = raw
	return m, nil
}

// answerError is an error as it travels, with the types that somebody on the
// other side decides on.
type answerError struct {
	Text    string              `json:"text"`
	Refused *guard.RefusedError `json:"refused,omitempty"`
	Rule    *guard.RuleError    `json:"rule,omitempty"`
	Weaker  *WeakerError        `json:"weaker,omitempty"`
	Root    *RootError          `json:"root,omitempty"`
}

func travelling(err error) *answerError {
	if err == nil {
		return nil
	}
	out := &answerError{Text: err.Error()}
	out.Refused, _ = errors.AsType[*guard.RefusedError](err)
	out.Rule, _ = errors.AsType[*guard.RuleError](err)
	out.Weaker, _ = errors.AsType[*WeakerError](err)
	out.Root, _ = errors.AsType[*RootError](err)
	return out
}

// Error is the text of the error on the other side.
func (e *answerError) Error() string { return e.Text }

// Unwrap returns its type, when it had one that matters.
func (e *answerError) Unwrap() error {
	switch {
	case e.Refused != nil:
		return e.Refused
	case e.Rule != nil:
		return e.Rule
	case e.Weaker != nil:
		return e.Weaker
	case e.Root != nil:
		return e.Root
	}
	return nil
}
