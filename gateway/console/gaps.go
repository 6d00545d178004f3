package console

import "time"

// Amount is a number of batches and of the records in them. Where records are not known they are left out of the sum.
type Amount struct {
	Batches uint64 `json:"batches"`
	Records uint64 `json:"records"`
}

// GapsQuery asks the receiving end of a link for what is missing.
type GapsQuery struct {
	Link  string `json:"link"`
	Class string `json:"class,omitempty"` // "bulk" or "critical"; empty: all
	All   bool   `json:"all,omitempty"`   // also what has been filled and what never will be
	Limit int    `json:"limit,omitempty"` // ranges in the answer; 0: all that the ledger remembers
}

// States of a range.
const (
	GapOpen   = "open"   // missing
	GapFilled = "filled" // came after all
	GapFinal  = "final"  // will not come any more
)

// GapList is an answer to GapsQuery.
type GapList struct {
	Link   string      `json:"link"`
	Ranges []GapRange  `json:"ranges"`         // the oldest first
	More   uint64      `json:"more,omitempty"` // ranges that Limit left out, or that the ledger keeps only as totals
	Totals []GapTotals `json:"totals"`         // one per class, in the order of classes
}

// GapRange is one range of batches that the receiving end has missed.
type GapRange struct {
	Class        string `json:"class"`
	Epoch        string `json:"epoch"` // hexadecimal
	First        uint64 `json:"first"`
	Last         uint64 `json:"last"` // 0: the end is not known
	Records      uint64 `json:"records"`
	RecordsKnown bool   `json:"records_known"`
	State        string `json:"state"`  // GapOpen, GapFilled or GapFinal
	Reason       string `json:"reason"` // "link", "far-spool-full" …, see diode.Gap
	// How says how an end came: "repeat" or "resend" for a filled range, "not-retained" and the like for a final one.
	How        string    `json:"how,omitempty"`
	DeclaredAt time.Time `json:"declared_at"`
	ClosedAt   time.Time `json:"closed_at,omitzero"`
	// Resendable says that the near side still has at least a part of it, by its last heartbeat.
	Resendable bool         `json:"resendable"`
	Before     GapNeighbour `json:"before"`
	After      GapNeighbour `json:"after"`
}

// GapNeighbour is when a batch beside a range was taken in by the near side (by its clock) and arrived here (by ours).
type GapNeighbour struct {
	NearAt time.Time `json:"near_at,omitzero"`
	FarAt  time.Time `json:"far_at,omitzero"`
}

// GapTotals counts since the ledger was begun; Declared = Filled + Final + Open, in batches exactly.
type GapTotals struct {
	Class    string `json:"class"`
	Declared Amount `json:"declared"`
	Filled   Amount `json:"filled"`
	Final    Amount `json:"final"`
	Open     Amount `json:"open"`
	// OpenRanges is the number of open ranges; Unknown of them have an unknown end, and count no batches.
	OpenRanges uint64 `json:"open_ranges"`
	Unknown    uint64 `json:"unknown"`
}
