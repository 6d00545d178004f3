package udp

import (
	"context"

	"github.com/sluice-gateway/sluice/internal/severity"
	"github.com/sluice-gateway/sluice/sdk"
)

// writers are the Writers of the classes; critical is nil when no message is critical.
type writers struct {
	bulk, critical *sdk.Writer
}

func newWriters(out sdk.Intake, s sdk.Setup, critical severity.Threshold) (w writers, err error) {
	if w.bulk, err = sdk.NewWriter(out, s, sdk.WriterOptions{}); err != nil || critical.Never() {
		return w, err
	}
	w.critical, err = sdk.NewWriter(out, s, sdk.WriterOptions{Class: sdk.ClassCritical})
	return w, err
}

// all lists the writers that there are, the critical one first.
func (w writers) all() []*sdk.Writer {
	if w.critical == nil {
		return []*sdk.Writer{w.bulk}
	}
	return []*sdk.Writer{w.critical, w.bulk}
}

// write hands over records of both classes; without a critical writer there are none of that class.
func (w writers) write(ctx context.Context, bulk, critical []sdk.Record) error {
	if len(critical) > 0 {
		if _, err := w.critical.WriteFrom(ctx, critical); err != nil {
			return err
		}
	}
	if len(bulk) > 0 {
		if _, err := w.bulk.WriteFrom(ctx, bulk); err != nil {
			return err
		}
	}
	return nil
}

// flush has the core decide on everything that was written.
func (w writers) flush(ctx context.Context) error {
	for _, one := range w.all() {
		if err := one.Flush(ctx); err != nil {
			return err
		}
	}
	return nil
}
