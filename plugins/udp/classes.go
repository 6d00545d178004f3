package udp

import (
	"context"

	"github.com/sluice-gateway/sluice/sdk"
)

// write hands over records of both classes; without a critical writer there are none of that class.
func write(ctx context.Context, w sdk.Writers, bulk, critical []sdk.Record) error {
	if len(critical) > 0 {
		if _, err := w.Critical.WriteFrom(ctx, critical); err != nil {
			return err
		}
	}
	if len(bulk) > 0 {
		if _, err := w.Bulk.WriteFrom(ctx, bulk); err != nil {
			return err
		}
	}
	return nil
}
