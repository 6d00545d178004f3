package console

import "time"

// ResendRequest asks the sending end of a link to send batches again: either typed ranges of one class, or the report
// of the receiving end.
type ResendRequest struct {
	Link   string `json:"link"`
	Class  string `json:"class,omitempty"`  // of Ranges; empty: "bulk"
	Ranges string `json:"ranges,omitempty"` // "4711-4723,4801", see diode/report
	Report []byte `json:"report,omitempty"` // a report file; base64 in JSON
	DryRun bool   `json:"dry_run,omitempty"`
	Who    string `json:"-"` // set by the server: the user behind the socket
}

// Resend says what a request comes to.
type Resend struct {
	Link    string        `json:"link"`
	DryRun  bool          `json:"dry_run"`
	Classes []ResendClass `json:"classes"`
	// The sums over all classes.
	Batches uint64 `json:"batches"` // asked for and still kept
	Records uint64 `json:"records"`
	Bytes   uint64 `json:"bytes"`
	Missing uint64 `json:"missing_batches"` // asked for and no longer kept, or never there
	// At RateBits, the rate at which they may be sent, it takes Seconds; live traffic goes first.
	RateBits uint64  `json:"rate_bits_per_second"`
	Seconds  float64 `json:"seconds"`
	// Refused says in words which parts were left out and why: an epoch that is not of this node and the like.
	Refused []string `json:"refused,omitempty"`
}

// ResendClass is the part of one class.
type ResendClass struct {
	Class   string `json:"class"`
	Epoch   string `json:"epoch"` // hexadecimal; of the newest batch asked for
	Batches uint64 `json:"batches"`
	Records uint64 `json:"records"`
	Bytes   uint64 `json:"bytes"`
	Missing uint64 `json:"missing_batches"`
}

// ResendProgress counts since the link was opened.
type ResendProgress struct {
	Queued  uint64 `json:"queued_batches"` // waiting for their turn
	Sent    uint64 `json:"sent_batches"`
	Missing uint64 `json:"missing_batches"` // no longer kept when their turn came
	Bytes   uint64 `json:"sent_bytes"`      // payload
}

// ExplainRequest asks the sending end what ranges held.
type ExplainRequest struct {
	Link   string `json:"link"`
	Class  string `json:"class,omitempty"` // empty: "bulk"
	Ranges string `json:"ranges"`
}

// Explanation is what the batches of ranges hold, as far as they are kept.
type Explanation struct {
	Link    string    `json:"link"`
	Class   string    `json:"class"`
	Batches uint64    `json:"batches"` // read
	Records uint64    `json:"records"`
	Bytes   uint64    `json:"bytes"`
	Missing uint64    `json:"missing_batches"` // no longer kept
	From    time.Time `json:"from,omitzero"`   // taken in by this node
	To      time.Time `json:"to,omitzero"`
	// Receivers come with the most records first.
	Receivers []ExplainedReceiver `json:"receivers"`
	// Cut says why the answer ends early, and where; empty: it is complete.
	Cut string `json:"cut,omitempty"`
}

// ExplainedReceiver is one receiver's part.
type ExplainedReceiver struct {
	Name      string              `json:"name"` // "udp.kics-agents"
	Batches   uint64              `json:"batches"`
	Records   uint64              `json:"records"`
	Endpoints []ExplainedEndpoint `json:"endpoints"`      // the most records first
	More      uint64              `json:"more,omitempty"` // endpoints left out
}

// ExplainedEndpoint is one endpoint's part.
type ExplainedEndpoint struct {
	Endpoint string    `json:"endpoint"` // its identity, or its address where it has none
	Records  uint64    `json:"records"`
	From     time.Time `json:"from,omitzero"` // received
	To       time.Time `json:"to,omitzero"`
}
