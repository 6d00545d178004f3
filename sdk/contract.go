package sdk

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"time"
)

// Plugin is what receivers and sinks have in common. The order of calls is Describe, Validate, Configure, Run, Drain;
// Describe and Validate may come at any time and must have no effect. All methods may be called concurrently with Run.
type Plugin interface {
	// Describe says what the plugin is and which configuration it takes.
	Describe(ctx context.Context) (Info, error)
	// Validate checks a body that already satisfies the schema. Findings of the operator's making are Problems; the
	// error is for faults.
	Validate(ctx context.Context, config json.RawMessage) (Traits, []Problem, error)
	// Configure is called once, before Run.
	Configure(ctx context.Context, s Setup) error
	// Drain asks Run to take in nothing new, to finish what it has until ctx ends, and to return. It may return before
	// Run does. A second call has no effect.
	Drain(ctx context.Context) error
}

// Receiver takes records in. Run blocks until ctx ends, Drain has completed or it cannot go on.
//
// A receiver may answer an endpoint for a record only when the batch that holds it has been acknowledged.
type Receiver interface {
	Plugin
	Run(ctx context.Context, net Network, out Intake) error
}

// Sink delivers records. Run blocks until ctx ends, Drain has completed or it cannot go on.
type Sink interface {
	Plugin
	Run(ctx context.Context, net Network, in Outlet) error
}

// Intake is where a receiver puts batches. Authors use a Writer, which builds batches from records.
type Intake interface {
	// Deliver hands over one encoded batch. It blocks while the credit of the class is used up; batch may be used again
	// when it returns. decided is called once, in the order of Deliver calls of a class, from another goroutine: with nil
	// when the batch is durable in the spool, with an *Error of CodeDropped when the core did not keep it (the core has
	// counted that), or with CodeGone when nobody will ever know. It must not block. It is not called when Deliver returns
	// an error.
	Deliver(ctx context.Context, class Class, batch []byte, decided func(error)) error
}

// Outlet is where a sink gets batches from.
type Outlet interface {
	// Next blocks until there is a delivery. Its bytes are the caller's.
	Next(ctx context.Context) (Delivery, error)
	// Ack says that all deliveries up to through are delivered, except the rejected records, which go to the dead-letter
	// log with their reason. It is cumulative. A rejection comes with or before the Ack that covers its delivery; through
	// may repeat an earlier value (0 before the first).
	Ack(ctx context.Context, through uint64, rejected ...Rejection) error
	// Hold reports that the target takes nothing at the moment (reason "" = it does again). It is shown in status; it
	// drops nothing.
	Hold(ctx context.Context, reason string) error
}

// Delivery is one batch on its way to a sink.
type Delivery struct {
	Number uint64 // 1, 2, 3 … within one Run
	Class  Class
	Late   bool // fills a hole declared earlier: outside the order of its stream
	Data   []byte
}

// Rejection names one record that a sink cannot deliver, ever.
type Rejection struct {
	Number uint64 // delivery
	Record uint32 // position in the batch, from 0
	Err    *Error
}

// Network is the plugin's only way to the network. It looks like package net; behind it the core holds the sockets,
// opens only what the plugin's HCL block allows and relays bytes.
type Network interface {
	// Listener returns the accepted TCP connections of the block's `port`. Addr and RemoteAddr of a connection are those
	// of the real socket; see ConnectionOf for its interface.
	Listener(ctx context.Context) (net.Listener, error)
	// Packets returns the datagrams of the block's `port`.
	Packets(ctx context.Context) (PacketReader, error)
	// Dial connects a TCP stream to one of the block's `connect` targets.
	Dial(ctx context.Context, address string) (net.Conn, error)
	// DialPacket opens a UDP socket to one of the block's `connect` targets.
	DialPacket(ctx context.Context, address string) (PacketSender, error)
}

// PacketReader reads datagrams in batches.
type PacketReader interface {
	// ReadBatch blocks until there are datagrams. They are valid until the next call. The error is io.EOF after Finish
	// and net.ErrClosed after Close or when the core has gone.
	ReadBatch(ctx context.Context) ([]Datagram, error)
	// Finish asks the core for no more: ReadBatch returns what has been handed over, and then io.EOF. It does not block
	// and may be called concurrently. This is how a receiver of datagrams obeys Drain without losing any.
	Finish()
	// Close discards what has been handed over and not read; these datagrams are lost. After io.EOF there are none.
	Close() error
}

// Datagram is one received datagram.
type Datagram struct {
	Remote    netip.AddrPort
	Interface string
	Received  time.Time // taken by the kernel or the core, not by the plugin
	Payload   []byte
}

// PacketSender sends datagrams to one target.
type PacketSender interface {
	// Send hands datagrams to the kernel in order and returns how many it took. The error belongs to the socket, not
	// surely to the datagram after the last: ECONNREFUSED (as syscall.Errno) reports that an earlier one met a closed
	// port. Send(ctx, nil) only asks for such a pending error. One Send at a time. After an error that is no errno, which
	// includes the end of ctx, the sender has ended and must be dialled again; it is then not known whether the datagrams
	// after the count have been sent.
	Send(ctx context.Context, datagrams [][]byte) (int, error)
	Close() error
}

// Certificate is a PEM chain with its key, resolved by the core from an attribute of FormatCertificate.
type Certificate struct {
	ChainPEM []byte
	KeyPEM   []byte
}

// Setup is what Configure hands over.
type Setup struct {
	Name         string   // "udp.kics-agents": kind of block and name
	Stream       StreamID // receivers: identity of this start
	Config       json.RawMessage
	StateDir     string // private to this plugin, exists, writable
	RootDir      string // relative paths are resolved against it
	Compression  string // receivers: "none" or "zstd"
	Certificates map[string]Certificate
	Connect      []string     // targets of the block, "address:port"; Dial and DialPacket reach no others
	Log          *slog.Logger // set by the SDK; never nil in a plugin
}

// Path resolves a path attribute: absolute ones stand, relative ones lie under RootDir.
func (s Setup) Path(p string) string {
	if filepath.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(s.RootDir, p)
}

// ConnectionOf returns what the core knows of a connection that Listener accepted, also through a *tls.Conn around it.
func ConnectionOf(c net.Conn) Connection {
	type (
		described interface{ Connection() Connection }
		wrapping  interface{ NetConn() net.Conn } // as crypto/tls.Conn does
	)
	for inner := c; inner != nil; {
		if d, ok := inner.(described); ok {
			return d.Connection()
		}
		w, ok := inner.(wrapping)
		if !ok {
			break
		}
		inner = w.NetConn()
	}
	remote, _ := netip.ParseAddrPort(c.RemoteAddr().String())
	return Connection{Remote: remote}
}
