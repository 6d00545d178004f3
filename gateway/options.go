package gateway

import (
	"errors"
	"log/slog"
	"path/filepath"

	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/hcl/config"
)

// Options is what a node is started with.
type Options struct {
	Plan     *Plan
	Node     string
	StateDir string // root of all state; the node's own lies in <StateDir>/<Node>
	Version  string
	Host     *pluginhost.Host
	// Warden is the socket of the guard's privileged half. Empty: WardenSocket, if the policy names an interface beside
	// loopback; else none is needed.
	Warden string
	// BothEnds says that this process runs both ends of every diode, so that it may make missing pairings.
	BothEnds bool
	Log      *slog.Logger
}

func (o Options) check() error {
	switch {
	case o.Plan == nil || o.Plan.Config == nil:
		return errors.New("gateway: no configuration")
	case o.Node == "":
		return errors.New("gateway: no node named")
	case o.StateDir == "":
		return errors.New("gateway: no state directory")
	case o.Host == nil:
		return errors.New("gateway: no plugin host")
	case o.Log == nil:
		return errors.New("gateway: no logger")
	}
	return nil
}

// warden is the socket of the guard's privileged half.
func (o Options) warden() string {
	if o.Warden != "" {
		return o.Warden
	}
	return WardenSocket(o.StateDir, o.Node)
}

// nodeDir is where a node keeps what is its own.
func (o Options) nodeDir() string { return filepath.Join(o.StateDir, o.Node) }

// Socket is where a node's status is served.
func Socket(stateDir, node string) string { return filepath.Join(stateDir, node, "status.sock") }

// spoolDir holds a directory per origin.
func (g *Gateway) spoolDir() string { return filepath.Join(g.opts.nodeDir(), "spool") }

// spoolOptions of a node, as they are without a link.
func spoolOptions(n *config.Node) (spool.Options, error) {
	policy, err := spool.ParsePolicy(n.Spool.WhenFull)
	if err != nil {
		return spool.Options{}, err
	}
	return spool.Options{SegmentBytes: n.Spool.SegmentSize, MaxBytes: n.Spool.MaxSize, WhenFull: policy, KeepSent: n.Spool.KeepDelivered}, nil
}

// sendOptions of a spool that links send from: what was sent is kept, to be sent again.
func sendOptions(n *config.Node, links []config.LinkView) (spool.Options, error) {
	o, err := spoolOptions(n)
	for _, l := range links {
		o.KeepSent = max(o.KeepSent, l.Diode.Send.KeepSent)
	}
	return o, err
}
