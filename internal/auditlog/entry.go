package auditlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Verbs of entries.
const (
	Start           = "start"
	Stop            = "stop"
	Apply           = "apply" // a configuration was taken into use
	Enable          = "enable"
	Accept          = "accept" // an interface
	Reset           = "reset"  // the latch of a trip
	Trip            = "trip"
	Restore         = "restore" // of what somebody changed before a guarded interface
	Pair            = "pair"
	Resend          = "resend"
	AcceptSender    = "accept-sender"
	ExceptionBegins = "exception-begins"
	ExceptionEnded  = "exception-ended"
	PluginChange    = "plugin-change"
	Release         = "release"   // the guard's drops were taken away
	SetAside        = "set-aside" // written by this package: what a crash left at the end of the log
	Missed          = "missed"    // written by this package: entries that could not be written
)

// Bounds of what an entry holds, bytes (ours): more is cut, and the cut is marked.
const (
	maxWord   = 256
	maxObject = 1 << 10
	maxDetail = 4 << 10
)

// Entry is one line. Append sets Seq, Node, Prev and Hash, and At when it is zero.
type Entry struct {
	Seq    uint64    `json:"seq"` // from 1, without a hole
	At     time.Time `json:"at"`
	Node   string    `json:"node"`
	What   string    `json:"what"`
	Who    Who       `json:"who"`
	Object string    `json:"object,omitempty"` // what it was done to: "interface eno4"
	Detail string    `json:"detail,omitempty"`
	// Before and After are the SHA-256, in hexadecimal, of the configuration or state concerned.
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	Prev   string `json:"prev"` // Hash of the line before; zeros in the first
	Hash   string `json:"-"`
}

// Head is the newest entry: enough to notice later that the log was cut or replaced.
type Head struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"`
}

// String is SEQ:HASH, as ParseHead reads it.
func (h Head) String() string { return fmt.Sprintf("%d:%s", h.Seq, h.Hash) }

// ParseHead reads SEQ:HASH.
func ParseHead(s string) (Head, error) {
	var h Head
	number, hash, found := strings.Cut(s, ":")
	if _, err := fmt.Sscanf(number, "%d", &h.Seq); err != nil || !found || fmt.Sprint(h.Seq) != number || !isDigest(hash) {
		return Head{}, fmt.Errorf("auditlog: %q is no head: write SEQ:HASH as `sluice audit verify` prints it", s)
	}
	h.Hash = hash
	return h, nil
}

const (
	// genesis is what the first line has before it.
	genesis   = "0000000000000000000000000000000000000000000000000000000000000000"
	digestLen = 2 * sha256.Size
	hashKey   = `,"hash":"`
	lineEnd   = `"}`
	tailLen   = len(hashKey) + digestLen + len(lineEnd)
	// maxLine bounds a line with its newline, bytes: all texts at their bounds, escaped as JSON at worst sixfold.
	maxLine = 64 << 10
)

// encode gives the line without its newline, and its hash.
func (e Entry) encode() (line []byte, hash string, err error) {
	e.Node, e.What, e.Who = cut(e.Node, maxWord), cut(e.What, maxWord), e.Who.cut()
	e.Object, e.Detail = cut(e.Object, maxObject), cut(e.Detail, maxDetail)
	for _, d := range []string{e.Before, e.After} {
		if d != "" && !isDigest(d) {
			return nil, "", fmt.Errorf("auditlog: %.80q is no SHA-256 in hexadecimal", d)
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, "", fmt.Errorf("auditlog: %w", err)
	}
	body := bytes.TrimSuffix(b.Bytes(), []byte("}\n"))
	hash = hashOf(body)
	return fmt.Appendf(bytes.Clone(body), `%s%s%s`, hashKey, hash, lineEnd), hash, nil
}

// What can be wrong with a line by itself.
var (
	errNoLine = errors.New("it is no line of an audit log")
	errHash   = errors.New("its hash is that of another content")
)

// decode reads a line without its newline, and holds its hash against its content.
func decode(line []byte) (Entry, error) {
	at := len(line) - tailLen
	if at <= 0 || !bytes.HasPrefix(line[at:], []byte(hashKey)) || !bytes.HasSuffix(line, []byte(lineEnd)) {
		return Entry{}, errNoLine
	}
	hash := string(line[at+len(hashKey) : at+len(hashKey)+digestLen])
	if hashOf(line[:at]) != hash {
		return Entry{}, errHash
	}
	var e Entry
	if err := json.Unmarshal(line, &e); err != nil {
		return Entry{}, fmt.Errorf("%w: %w", errNoLine, err)
	}
	e.Hash = hash
	return e, nil
}

func hashOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// isDigest accepts lower case only, so that there is one way to write a hash.
func isDigest(s string) bool {
	return len(s) == digestLen && strings.Trim(s, "0123456789abcdef") == ""
}

// cut shortens a text to some bytes, and says so.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	mark := fmt.Sprintf("… (cut, %d bytes)", len(s))
	keep := most - len(mark)
	for keep > 0 && !utf8.RuneStart(s[keep]) {
		keep--
	}
	return s[:keep] + mark
}
