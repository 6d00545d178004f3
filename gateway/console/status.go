package console

import (
	"encoding/json"
	"time"

	"github.com/sluice-gateway/sluice/internal/auditlog"
)

// Status is everything that a node says of itself. Counters count from the start of the process unless they say
// otherwise; sizes are bytes. Lists are never null. A field may be added, but none changes its name or meaning.
type Status struct {
	Node       string      `json:"node"`
	Site       string      `json:"site"`
	Version    string      `json:"version"`
	PID        int         `json:"pid"`
	Started    time.Time   `json:"started"`
	Ready      bool        `json:"ready"`
	Guard      Guard       `json:"guard"`
	Receivers  []Receiver  `json:"receivers"`
	Spools     []Spool     `json:"spools"`
	Links      []Link      `json:"links"`
	Sinks      []Sink      `json:"sinks"`
	Exceptions []Exception `json:"exceptions"`
	// Audit is the newest entry of the audit log; its Seq is 0 when the node keeps none.
	Audit    auditlog.Head `json:"audit"`
	Warnings []string      `json:"warnings"`
}

// Drop is a loss with one reason.
type Drop struct {
	Batches uint64 `json:"batches"`
	Records uint64 `json:"records"`
}

// Plugin is the process behind a receiver or sink.
type Plugin struct {
	Status      string    `json:"status"` // starting, running, backing-off, failed, stopped
	PID         int       `json:"pid,omitempty"`
	Version     string    `json:"version,omitempty"`
	SHA256      string    `json:"sha256,omitempty"`
	Restarts    int       `json:"restarts"`
	LastError   string    `json:"last_error,omitempty"`
	Since       time.Time `json:"since"`
	Confinement []string  `json:"confinement,omitempty"`
	// Missing are layers of the sandbox that an exception lets it run without.
	Missing []string `json:"missing,omitempty"`
}

// Receiver is one receiver of the node.
type Receiver struct {
	Name       string `json:"name"` // "udp.kics-agents"
	Protocol   string `json:"protocol"`
	Network    string `json:"network"`
	Port       int    `json:"port"`
	Encryption string `json:"encryption"` // "on", "declared" or "OFF"
	// VerifyClients says whether endpoints must show a certificate: VerifyYes, VerifyNo or VerifyElsewhere; empty where
	// the protocol has none.
	VerifyClients string `json:"verify_clients,omitempty"`
	// Rate is records per second over the last seconds, durable ones.
	Rate    float64           `json:"records_per_second"`
	Sockets []Socket          `json:"sockets"`
	Plugin  Plugin            `json:"plugin"`
	Batches uint64            `json:"batches"` // durable
	Records uint64            `json:"records"`
	Bytes   uint64            `json:"bytes"`
	Traffic Traffic           `json:"traffic"`
	Dropped map[string]Drop   `json:"dropped,omitempty"`
	Refused map[string]uint64 `json:"refused,omitempty"` // by reason: connections, datagrams and requests
}

// Values of Receiver.VerifyClients.
const (
	VerifyYes       = "yes"
	VerifyNo        = "no"
	VerifyElsewhere = "by the integration server"
)

// Socket is one listening socket.
type Socket struct {
	Interface string `json:"interface"`
	Local     string `json:"local"`
	State     string `json:"state"`
	Barrier   string `json:"barrier"` // what confines it to its interface
	Error     string `json:"error,omitempty"`
}

// Traffic is what the core relayed between the network and the plugin.
type Traffic struct {
	Accepted      uint64 `json:"accepted"`
	Open          uint64 `json:"open"`
	BytesIn       uint64 `json:"bytes_in"`
	BytesOut      uint64 `json:"bytes_out"`
	Datagrams     uint64 `json:"datagrams"`
	KernelDrops   uint64 `json:"kernel_drops"`
	ReceiveBuffer int    `json:"receive_buffer,omitempty"`
}

// Spool is one log.
type Spool struct {
	Origin  string            `json:"origin"`
	Class   string            `json:"class"`
	State   string            `json:"state"`           // ok, full, io-error
	Error   string            `json:"error,omitempty"` // what the state is about
	Epoch   string            `json:"epoch"`
	First   uint64            `json:"first"`
	Next    uint64            `json:"next"`
	Entries uint64            `json:"entries"`
	Bytes   int64             `json:"bytes"`
	Records uint64            `json:"records"` // durable in this epoch, delivered ones included
	Dropped map[string]Drop   `json:"dropped,omitempty"`
	Lost    Drop              `json:"lost"` // damaged on disk
	Cursors map[string]Cursor `json:"cursors"`
}

// Cursor is how far one consumer is.
type Cursor struct {
	Acked      uint64 `json:"acked"`
	LagEntries uint64 `json:"lag_entries"`
	LagBytes   uint64 `json:"lag_bytes"`
	LagRecords uint64 `json:"lag_records"`
	Dropped    Drop   `json:"dropped"` // deleted by drop-oldest before this consumer had it
}

// Link is one end of a diode.
type Link struct {
	Name      string `json:"name"`
	Direction string `json:"direction"`       // "send" or "receive"
	Group     string `json:"group,omitempty"` // of parallel links: the same batches come or go over all of them
	State     string `json:"state"`
	Peer      string `json:"peer"`
	// Pairings are those in use, the newest first: their name and fingerprint, which is the same on both sides.
	Pairings []Pairing `json:"pairings,omitempty"`
	// Alarms are what an operator must look at, in words.
	Alarms []string `json:"alarms,omitempty"`
	// Lost is what this side has ever declared missing; only a receiving end knows it. Gaps says what became of it, one
	// per class. Links of one group share both.
	Lost    Drop            `json:"lost"`
	Gaps    []GapTotals     `json:"gaps,omitempty"`
	Dropped map[string]Drop `json:"dropped,omitempty"`
	// One of them is there while the link runs.
	Send    *SendEnd    `json:"send,omitempty"`
	Receive *ReceiveEnd `json:"receive,omitempty"`
}

// Pairing is a pair of key files.
type Pairing struct {
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"`
}

// SendEnd is what the sending end of a link counts since it was opened.
type SendEnd struct {
	Session       uint64         `json:"session"`
	SessionAhead  float64        `json:"session_ahead_seconds,omitempty"` // of the clock; hours of it mean that the clock went back
	Segmentation  bool           `json:"segmentation"`                    // UDP_SEGMENT in use
	ShardBytes    int            `json:"shard_bytes"`
	DataShards    int            `json:"data_shards"` // of a full block
	ParityShards  int            `json:"parity_shards"`
	Frames        uint64         `json:"frames"`
	WireBytes     uint64         `json:"wire_bytes"` // Ethernet framing included
	Blocks        uint64         `json:"blocks"`
	Batches       uint64         `json:"batches"` // first time on the wire
	PayloadBytes  uint64         `json:"payload_bytes"`
	Copies        uint64         `json:"copies"`         // batches sent again: repeats and after errors
	CopiesMissing uint64         `json:"copies_missing"` // no longer retained when their copy was due
	Oversize      uint64         `json:"oversize"`       // batches too large for a link, left out
	Heartbeats    uint64         `json:"heartbeats"`
	Holds         uint64         `json:"holds"` // times that the kernel took no frames
	HoldingSince  time.Time      `json:"holding_since,omitzero"`
	Classes       []SendClass    `json:"classes"`
	Resend        ResendProgress `json:"resend"`
	Testing       bool           `json:"testing"` // a test runs: data waits
}

// SendClass is one priority class of a sending end.
type SendClass struct {
	Class    string    `json:"class"`
	Epoch    string    `json:"epoch"`           // hexadecimal
	First    uint64    `json:"first"`           // oldest batch that is kept, and can be sent again
	Accepted uint64    `json:"accepted"`        // newest batch in the spool
	Sent     uint64    `json:"sent"`            // newest batch that has left whole
	Oldest   time.Time `json:"oldest,omitzero"` // when the oldest that has not left was taken in
}

// ReceiveEnd is what the receiving end of a link counts since it was opened. Links of one group share everything but
// session, heartbeat, health, frames and the socket.
type ReceiveEnd struct {
	Session            uint64          `json:"session"`
	LastHeartbeat      time.Time       `json:"last_heartbeat,omitzero"`
	LastBatch          time.Time       `json:"last_batch,omitzero"`  // while heartbeats come, an old one means that the near side is quiet
	ClockOffsetSeconds float64         `json:"clock_offset_seconds"` // the sender's clock minus ours, transit included
	Health             json.RawMessage `json:"health,omitempty"`     // what the near side says of itself
	Classes            []ReceiveClass  `json:"classes"`
	Batches            uint64          `json:"batches"` // delivered in order
	Bytes              uint64          `json:"bytes"`
	Late               uint64          `json:"late"` // delivered outside the order
	Duplicates         uint64          `json:"duplicates"`
	Conflicts          uint64          `json:"conflicts"` // an alarm: the sender contradicts itself
	Gaps               uint64          `json:"gaps"`
	GapRecords         uint64          `json:"gap_records"`
	GapsUnknown        uint64          `json:"gaps_unknown"` // gaps of which nobody knows how many records they held
	Overload           uint64          `json:"overload"`     // batches dropped because memory was full
	FarErrors          uint64          `json:"far_errors"`   // batches that could not be stored
	Blocks             uint64          `json:"blocks"`       // repaired ones included
	BlocksRepaired     uint64          `json:"blocks_repaired"`
	BlocksFailed       uint64          `json:"blocks_failed"`
	BadBatches         uint64          `json:"bad_batches"`
	Frames             Frames          `json:"frames"`
	KernelDrops        uint64          `json:"kernel_drops"`   // datagrams
	ReceiveBuffer      int             `json:"receive_buffer"` // bytes granted
	MemoryUsed         int64           `json:"memory_used"`
	MemoryMax          int64           `json:"memory_max"`
	BitsPerSecond      float64         `json:"bits_per_second"`
}

// ReceiveClass is one priority class of a receiving end. What is called near is what the last heartbeat said.
type ReceiveClass struct {
	Class        string    `json:"class"`
	Epoch        string    `json:"epoch"`                // hexadecimal
	NearFirst    uint64    `json:"near_first"`           // oldest batch that the near side keeps, and can send again
	NearAccepted uint64    `json:"near_accepted"`        // newest batch in the near spool
	NearSent     uint64    `json:"near_sent"`            // newest batch that has left it whole
	NearOldest   time.Time `json:"near_oldest,omitzero"` // when the oldest that has not left was taken in
	Next         uint64    `json:"next"`                 // batch that is due
	Waiting      int       `json:"waiting"`              // batches that wait for one before them
}

// Frames counts the datagrams of a receiving end by outcome.
type Frames struct {
	Accepted         uint64 `json:"accepted"`
	Surplus          uint64 `json:"surplus"` // not needed: their block was complete
	BadHeader        uint64 `json:"bad_header"`
	ForeignLink      uint64 `json:"foreign_link"`
	UnknownKey       uint64 `json:"unknown_key"`
	UnknownSession   uint64 `json:"unknown_session"`
	Replayed         uint64 `json:"replayed"`
	BadTag           uint64 `json:"bad_tag"`
	BadShape         uint64 `json:"bad_shape"`
	BadBody          uint64 `json:"bad_body"`
	BadAnnouncement  uint64 `json:"bad_announcement"`
	BelowFloor       uint64 `json:"below_floor"`
	SenderWentBack   uint64 `json:"sender_went_back"`  // an alarm
	SessionConflicts uint64 `json:"session_conflicts"` // an alarm: two senders
	RateLimited      uint64 `json:"rate_limited"`
	Announcements    uint64 `json:"announcements"`
	Heartbeats       uint64 `json:"heartbeats"`
}

// Sink is one sink of the node.
type Sink struct {
	Name     string          `json:"name"`
	Delivery string          `json:"delivery"` // acknowledged, written or sent: what "delivered" means here
	Takes    []string        `json:"takes"`    // receivers
	Plugin   Plugin          `json:"plugin"`
	Holding  string          `json:"holding,omitempty"` // why it takes nothing at the moment
	Batches  uint64          `json:"batches"`
	Records  uint64          `json:"records"`
	Bytes    uint64          `json:"bytes"`
	Last     *time.Time      `json:"last,omitempty"`
	Dropped  map[string]Drop `json:"dropped,omitempty"`
	// Refused counts what the plugin asked for beyond its block.
	Refused map[string]uint64 `json:"refused,omitempty"`
}
