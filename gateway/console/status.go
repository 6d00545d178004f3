package console

import "time"

// Status is everything that a node says of itself. Counters count from the start of the process unless they say
// otherwise; sizes are bytes.
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
	Warnings   []string    `json:"warnings"`
}

// Guard says what each interface may carry, and why.
type Guard struct {
	State      string      `json:"state"` // "ok" or "unknown"
	Interfaces []Interface `json:"interfaces"`
}

// Interface is one decision of the guard.
type Interface struct {
	Name   string `json:"name"`
	MAC    string `json:"mac,omitempty"`
	Up     bool   `json:"up"`
	Role   string `json:"role"`
	Reason string `json:"reason"`
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
}

// Receiver is one receiver of the node.
type Receiver struct {
	Name       string            `json:"name"` // "udp.kics-agents"
	Protocol   string            `json:"protocol"`
	Network    string            `json:"network"`
	Port       int               `json:"port"`
	Encryption string            `json:"encryption"` // "on", "declared" or "OFF"
	Sockets    []Socket          `json:"sockets"`
	Plugin     Plugin            `json:"plugin"`
	Batches    uint64            `json:"batches"` // durable
	Records    uint64            `json:"records"`
	Bytes      uint64            `json:"bytes"`
	Traffic    Traffic           `json:"traffic"`
	Dropped    map[string]Drop   `json:"dropped,omitempty"`
	Refused    map[string]uint64 `json:"refused,omitempty"` // by reason: connections, datagrams and requests
}

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
	State   string            `json:"state"` // ok, full, io-error
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
}

// Link is one end of a diode.
type Link struct {
	Name      string `json:"name"`
	Direction string `json:"direction"` // "send" or "receive"
	State     string `json:"state"`
	Peer      string `json:"peer"`
	// Lost is what this side has ever declared missing; only a receiving end knows it.
	Lost    Drop            `json:"lost"`
	Dropped map[string]Drop `json:"dropped,omitempty"`
	Detail  any             `json:"detail"` // the link's own counters
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

// Exception is a written weakening in force.
type Exception struct {
	Name       string `json:"name"`
	Allows     string `json:"allows"`
	On         string `json:"on"`
	Reason     string `json:"reason"`
	ApprovedBy string `json:"approved_by"`
	Until      string `json:"until"`
}
