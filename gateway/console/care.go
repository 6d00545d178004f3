package console

import "time"

// Acceptance is what accepting a sender has changed.
type Acceptance struct {
	Link    string `json:"link"`
	Pairing string `json:"pairing"` // whose floor was lowered
	Session uint64 `json:"session"` // the newest that had been refused
	Was     uint64 `json:"was"`     // the floor before: sessions from it on were accepted
	Floor   uint64 `json:"floor"`   // the floor now
	// AuditLog: the near side's audit log had contradicted what was heard of it, and is heard anew. Without a Pairing
	// that was all there was to accept.
	AuditLog bool `json:"audit_log,omitempty"`
}

// States of a fact.
const (
	FactOK   = "ok"
	FactWarn = "warn" // works, and could be better
	FactBad  = "bad"  // does not work, or loses data
)

// Fact is one finding of an examination.
type Fact struct {
	Node   string `json:"node,omitempty"` // set by who asks several nodes
	Link   string `json:"link,omitempty"` // empty: about the whole node
	Side   string `json:"side,omitempty"` // "send" or "receive"
	Name   string `json:"name"`           // what was looked at: "receive buffer"
	State  string `json:"state"`          // FactOK, FactWarn or FactBad
	Value  string `json:"value"`          // what was found: "208 KiB granted of 64 MiB"
	Remedy string `json:"remedy,omitempty"`
}

// TestRequest asks the sending end to measure a link.
type TestRequest struct {
	Link        string   `json:"link"`
	RatesBits   []uint64 `json:"rates_bits_per_second,omitempty"` // on the wire; empty: a ladder up to the configured rate
	EachSeconds float64  `json:"each_seconds,omitempty"`          // per rate; 0: 2
	Who         string   `json:"-"`                               // set by the server
}

// TestState is what a test has sent.
type TestState struct {
	Link      string   `json:"link"`
	RatesBits []uint64 `json:"rates_bits_per_second"` // in order
	Seconds   float64  `json:"seconds"`               // it took
}

// TestReport is what the receiving end saw of a test.
type TestReport struct {
	Link    string     `json:"link"`
	Started time.Time  `json:"started"` // first frame, by our clock
	Running bool       `json:"running"`
	Steps   []TestStep `json:"steps"`
	// SpoolBytesPerSecond is what this node's disk takes with fdatasync; 0: not measured.
	SpoolBytesPerSecond uint64         `json:"spool_bytes_per_second"`
	Recommendation      Recommendation `json:"recommendation"`
}

// TestStep is what was seen at one rate.
type TestStep struct {
	RateBits    uint64 `json:"rate_bits_per_second"`
	Sent        uint64 `json:"sent_frames"` // as far as numbers tell
	Received    uint64 `json:"received_frames"`
	Lost        uint64 `json:"lost_frames"`
	Runs        uint64 `json:"runs"`        // of lost frames
	LongestRun  uint64 `json:"longest_run"` // frames
	Reordered   uint64 `json:"reordered_frames"`
	KernelDrops uint64 `json:"kernel_drops"` // datagrams; included in Lost
	// Times on the way beyond the shortest seen: the two clocks are not the same.
	LatencyP50Seconds float64 `json:"latency_p50_seconds"`
	LatencyP99Seconds float64 `json:"latency_p99_seconds"`
	LatencyMaxSeconds float64 `json:"latency_max_seconds"`
}

// Recommendation is what to write into the diode block. RateBits 0: no rate got through.
type Recommendation struct {
	RateBits   uint64  `json:"rate_bits_per_second"`
	Parity     float64 `json:"parity"` // repair frames per data frame
	Interleave int     `json:"interleave"`
	Reason     string  `json:"reason"`
}
