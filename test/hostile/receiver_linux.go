package hostile

import (
	"context"
	"encoding/json"
	"runtime"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

// patience is how long a record may take on its way to the core (ours: far above what a busy machine needs).
const patience = 20 * time.Second

// Receiver is the hostile plugin.
type Receiver struct {
	name    string
	orders  orders
	setup   sdk.Setup
	begin   sync.Once
	drained chan struct{}
}

// New makes the plugin under the name that it is installed by.
func New(name string) *Receiver { return &Receiver{name: name, drained: make(chan struct{})} }

// Describe names the plugin; its configuration never comes from an operator.
func (r *Receiver) Describe(context.Context) (sdk.Info, error) {
	return sdk.Info{Kind: sdk.KindReceiver, Name: r.name, Version: "6.6.6", API: sdk.APIVersion}, nil
}

// Validate likes everything.
func (r *Receiver) Validate(context.Context, json.RawMessage) (sdk.Traits, []sdk.Problem, error) {
	return sdk.Traits{Protocol: "hostile", Kind: "any", Encryption: "none"}, nil, nil
}

// Configure takes the orders.
func (r *Receiver) Configure(_ context.Context, s sdk.Setup) error {
	r.setup = s
	return sdk.Unmarshal(s.Config, &r.orders)
}

// Drain ends Run, unless the load ignores it.
func (r *Receiver) Drain(context.Context) error {
	r.begin.Do(func() { close(r.drained) })
	return nil
}

// Run tries the attacks, each in a record of its own, announces the load and carries it out.
func (r *Receiver) Run(ctx context.Context, network sdk.Network, out sdk.Intake) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	w, err := sdk.NewWriter(out, r.setup, sdk.WriterOptions{Linger: -1})
	if err != nil {
		return err
	}
	wg.Go(func() { _ = w.Run(ctx) })
	attacks, err := Find(r.orders.Attacks...)
	if err != nil {
		return err
	}
	for _, a := range attacks {
		if err := tell(ctx, w, isolated(a, r.orders.Place)); err != nil {
			return err
		}
	}
	if r.orders.Load != "" {
		if err := r.carryOut(ctx, w, network); err != nil {
			return err
		}
	}
	select {
	case <-ctx.Done():
	case <-r.drained:
	}
	return nil
}

// carryOut runs the load between two records: one that says that it begins, and one with what came of it.
func (r *Receiver) carryOut(ctx context.Context, w *sdk.Writer, network sdk.Network) error {
	if err := tell(ctx, w, Outcome{Attack: r.orders.Load, Text: "begins"}); err != nil {
		return err
	}
	over := make(chan Outcome, 1)
	go func() {
		a := Attack{Name: r.orders.Load, try: func(p Place) error { return load(ctx, r.orders.Load, p, network) }}
		over <- a.Run(r.orders.Place)
	}()
	if r.orders.Load == LoadHang {
		<-over // whatever is asked of it
	}
	var o Outcome
	select {
	case o = <-over:
	case <-ctx.Done():
		return ctx.Err()
	case <-r.drained:
		return nil
	}
	return tell(ctx, w, o)
}

// isolated tries an attack on a thread of its own, which ends with it.
func isolated(a Attack, p Place) Outcome {
	done := make(chan Outcome, 1)
	go func() {
		runtime.LockOSThread() // never unlocked
		done <- a.Run(p)
	}()
	return <-done
}

// tell sends one record and waits for the core to have it.
func tell(ctx context.Context, w *sdk.Writer, o Outcome) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	line, err := json.Marshal(o)
	if err != nil {
		return err
	}
	t, err := w.Write(ctx, sdk.Connection{}, []sdk.Record{{Kind: sdk.KindOpaque, Received: time.Now(), Payload: line}})
	if err != nil {
		return err
	}
	return t.Wait(ctx)
}
