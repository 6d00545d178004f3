package load

import (
	"bytes"
	"fmt"
	"math/rand/v2"
)

const (
	// MessageBytes is the size of one syslog message, without its framing: what an EPP event in RFC 5424 form has
	// (docs/performance.md).
	MessageBytes = 280
	// digits of a message's number: 10^12 messages are more than a benchmark sends.
	digits = 12
	// variants is how many different texts a run has, so that a compressor meets neither one text nor noise (ours).
	variants = 256
)

// head is the part before the number. It has the quotation marks that structured data has in RFC 5424, section 6.3,
// because a sink that writes JSON has to escape them.
const head = `<134>1 2026-11-23T08:15:42.123456Z plant-042 edr 4242 EVT [run@32473 n="`

// tail follows the number.
const tail = `"] `

// Frames computes messages by number. Safe for concurrent use.
type Frames struct{ texts [][]byte }

// NewFrames makes the texts of one run.
func NewFrames(seed uint64) *Frames {
	words := []string{
		"process", "started", "parent", "services.exe", "winlogon.exe", "registry", "value", "written", "file", "opened", "read",
		"network", "connection", "outbound", "blocked", "allowed", "policy", "user", "SYSTEM", "operator", "scada-hmi-01", "historian",
		"signature", "valid", "hash", "d41d8cd9", "8f00b204", "e9800998", "module", "loaded", "driver", "device", "attached", "removed",
	}
	r := rand.New(rand.NewPCG(seed, 0x5107))
	f := &Frames{}
	for range variants {
		b := []byte(head + "000000000000" + tail)
		for len(b) < MessageBytes {
			b = fmt.Appendf(b, "%s=%x ", words[r.IntN(len(words))], r.Uint32())
		}
		f.texts = append(f.texts, b[:MessageBytes])
	}
	return f
}

// Append appends message n, MessageBytes long.
func (f *Frames) Append(dst []byte, n uint64) []byte {
	at := len(dst) + len(head)
	dst = append(dst, f.texts[n%variants]...)
	for i := at + digits - 1; i >= at; i-- {
		dst[i] = '0' + byte(n%10)
		n /= 10
	}
	return dst
}

// AppendCounted appends message n with octet counting, RFC 6587, section 3.4.1.
func (f *Frames) AppendCounted(dst []byte, n uint64) []byte {
	return f.Append(append(dst, "280 "...), n)
}

// Number finds the number of the message in a line of output: the digits behind the first `n="`, whether or not the
// quotation mark is escaped.
func Number(line []byte) (uint64, bool) {
	_, rest, found := bytes.Cut(line, []byte(` n=`))
	rest = bytes.TrimLeft(rest, `\"`)
	if !found || len(rest) < digits {
		return 0, false
	}
	var n uint64
	for _, c := range rest[:digits] {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}
