package gateway

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"

	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/gateway/relay"
	"github.com/sluice-gateway/sluice/hcl/config"
	"github.com/sluice-gateway/sluice/sdk"
)

// receiver is one receiver of this node: its sockets live as long as it does, its plugin may be restarted.
type receiver struct {
	conf   *config.Receiver
	label  string
	part   part
	origin *origin
	relay  *relay.Relay
	setup  setupBase
	log    *slog.Logger
	runs   func(component, version, sha256 string) // a program was started

	counts receiverCounts
	rate   console.Meter // of records
	plugin atomic.Pointer[pluginhost.State]
}

// setupBase is what every start of a component is configured with.
type setupBase struct {
	stateDir, rootDir string
	body              json.RawMessage // with secrets in place: for the plugin alone
	certificates      map[string]sdk.Certificate
	grants            []pluginhost.Grant // what the plugin sees of the disk
}

func grantsOf(r *config.Receiver, p part) relay.Grants {
	return relay.Grants{
		Component: Label(r.Address), Network: p.traits.Network, Port: r.Port, AllowFrom: r.AllowFrom,
		Connect: r.Connect, MaxConnections: r.MaxConnections,
	}
}

// component is how the plugin host supervises the receiver.
func (r *receiver) component() pluginhost.Component {
	return pluginhost.Component{
		Kind: sdk.KindReceiver, Name: r.conf.Plugin, Label: r.label, Run: r.run, Grants: r.setup.grants,
		State: func(s pluginhost.State) {
			r.plugin.Store(&s)
			r.runs(r.label, s.Version, s.SHA256)
		},
	}
}

// run is one start of the plugin. When ctx ends it drains: nothing new is taken, what endpoints have sent is spooled.
// Nothing of this start is left when it returns.
func (r *receiver) run(ctx context.Context, i *pluginhost.Instance) error {
	p, ok := i.Plugin().(sdk.Receiver)
	if !ok {
		return fmt.Errorf("plugin %q is no receiver", r.conf.Plugin)
	}
	in := r.intake()
	if err := p.Configure(ctx, r.setupFor(in.stream)); err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	live, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var handed relay.Handed
	served := start(func() (err error) {
		handed, err = r.relay.Serve(live, i.Control())
		if err != nil && live.Err() == nil {
			r.log.Warn("control socket broke", "error", err)
		}
		return err
	})
	ran := start(func() error { return p.Run(live, nil, in) })
	watched := start(func() error { return r.watch(live, in) })
	err := r.await(ctx, i, p, ran, watched)
	stop()
	_, _, _ = ran.wait(), served.wait(), watched.wait() // told above
	r.account(handed, in)
	return err
}

// intake is where this start delivers.
func (r *receiver) intake() *intake {
	in := &intake{
		receiver: r.label, origin: r.origin, counts: &r.counts, answers: r.part.traits.Answers,
		critical: r.conf.Class == config.ClassCritical, log: r.log,
	}
	_, _ = rand.Read(in.stream[:]) // never fails, see crypto/rand
	return in
}

// watch returns an error when the plugin has stalled; else it lasts as long as ctx.
func (r *receiver) watch(ctx context.Context, in *intake) error {
	if r.part.traits.Answers {
		<-ctx.Done()
		return nil
	}
	return watchStall(ctx, func() progress { return r.progress(in) })
}

// await waits for the end of Run, draining when ctx ends first.
func (r *receiver) await(ctx context.Context, i *pluginhost.Instance, p sdk.Plugin, ran, watched *call) error {
	select {
	case <-ran.done:
		return cmp.Or(ran.err, errEndedByItself)
	case <-watched.done: // before ctx: it has stalled
		return watched.err
	case <-ctx.Done():
	}
	r.relay.Pause(i.Control())
	return drain(ctx, p, ran)
}

// account counts datagrams that were handed to the plugin and never came back as records: they died with it. What the
// spool has and has not written yet did come back.
func (r *receiver) account(h relay.Handed, in *intake) {
	if r.part.traits.Network != "udp" {
		return
	}
	if taken := in.taken.Load(); h.Datagrams > taken {
		lost := h.Datagrams - taken
		r.counts.dropped.add("plugin-ended", 0, lost)
		r.log.Warn("datagrams lost with the plugin", "datagrams", lost)
	}
}

func (r *receiver) setupFor(stream sdk.StreamID) sdk.Setup {
	return sdk.Setup{
		Name: r.label, Stream: stream, Config: r.setup.body, StateDir: r.setup.stateDir, RootDir: r.setup.rootDir,
		Compression: r.conf.Compression, Certificates: r.setup.certificates, Connect: addresses(r.conf.Connect),
	}
}

func addresses(as []netip.AddrPort) []string {
	out := make([]string, 0, len(as))
	for _, a := range as {
		out = append(out, a.String())
	}
	return out
}

// status reports the receiver.
func (r *receiver) status() console.Receiver {
	st := r.relay.Stats()
	return console.Receiver{
		Name: r.label, Protocol: r.part.traits.Protocol, Network: r.part.traits.Network, Port: int(r.conf.Port),
		Encryption: encryptionWord(r.part.traits.Encryption), Sockets: sockets(st.Sockets), Plugin: pluginStatus(r.plugin.Load()),
		Batches: r.counts.batches.Load(), Records: r.counts.records.Load(), Bytes: r.counts.bytes.Load(),
		Traffic: traffic(st), Dropped: r.counts.dropped.snapshot(), Refused: st.Refused,
		VerifyClients: verifyWord(r.part.traits.VerifiesClients), Rate: r.rate.Rate(),
	}
}

// verifyWord is the console's word for a trait.
func verifyWord(trait string) string {
	if trait == "elsewhere" {
		return console.VerifyElsewhere
	}
	return trait // "yes" or "no", as in the console
}

func sockets(open []guard.SocketStat) []console.Socket {
	out := []console.Socket{}
	for _, s := range open {
		out = append(out, console.Socket{Interface: s.Interface, Local: s.Local, State: s.State, Barrier: s.Barrier, Error: s.Error})
	}
	return out
}

// encryptionOff is status's word for what anyone on the way can read and forge.
const encryptionOff = "OFF"

// encryptionWord is what status says: the gateway can vouch only for what it ends itself.
func encryptionWord(e string) string {
	switch e {
	case "tls", "sealed":
		return "on"
	case "by-endpoint":
		return "declared"
	default:
		return encryptionOff
	}
}
