package sdk

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"time"
)

// Class is a priority class. Each has its own stream, spool log and series on the link.
type Class uint8

// The classes.
const (
	ClassBulk     Class = 0
	ClassCritical Class = 1
)

// Kind says what a record's payload is.
type Kind uint8

// The kinds of content. The value is part of the batch format and uses seven bits.
const (
	KindOpaque Kind = 1 // a datagram, passed on unread, byte-exact
	KindSyslog Kind = 2 // one syslog message without its transport framing (RFC 5424, RFC 3164)
)

// String names the kind as it appears in output and configuration.
func (k Kind) String() string {
	switch k {
	case KindOpaque:
		return "opaque"
	case KindSyslog:
		return "syslog"
	default:
		return "kind-" + strconv.Itoa(int(k))
	}
}

// StreamID names one start of one receiver; 128 random bits.
type StreamID [16]byte

// String is the identifier in lower-case hexadecimal.
func (s StreamID) String() string { return hex.EncodeToString(s[:]) }

// RecordID names one record for ever: stream and sequence. It is never stored with the record but follows from the
// batch header and the record's position.
type RecordID struct {
	Stream   StreamID
	Sequence uint64
}

// String is the stream in hexadecimal, a hyphen and the sequence in decimal.
func (id RecordID) String() string {
	return id.Stream.String() + "-" + strconv.FormatUint(id.Sequence, 10)
}

// Connection is where records come from: one entry of a batch's table of connections.
type Connection struct {
	Endpoint  string         // identity of the endpoint when it has proved one (certificate, key), else ""
	Remote    netip.AddrPort // address that the kernel saw
	Interface string         // interface that the connection or datagram came in on
}

// Record is one opaque payload with its metadata.
type Record struct {
	ID         RecordID   // set by the decoder; ignored by the encoder
	Connection Connection // set by the decoder; the encoder takes it from Writer.Write
	Kind       Kind
	Received   time.Time // when the receiver had the whole record; zero = when it was written to the Writer
	Event      time.Time // the endpoint's own time, never rewritten; zero = unknown, as is one outside 1678 to 2261
	Payload    []byte    // aliases the batch; valid as long as its bytes are
}
