package send

import (
	"context"
	"fmt"

	"github.com/sluice-gateway/sluice/diode"
)

// fed is a batch from Source.Next with the buffer that it may alias.
type fed struct {
	batch diode.Batch
	buf   []byte
}

// feed waits in Source.Next, so that the loop never does. It returns when ctx
// ends or the source fails.
func (st *stream) feed(ctx context.Context) error {
	for {
		var buf []byte
		select {
		case buf = <-st.free:
		case <-ctx.Done():
			return nil
		}
		b, err := st.source.Next(ctx, buf)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("send: link %q: class %d: %w", st.cfg.Link, st.class, err)
		}
		if b.Seq == 0 {
			return fmt.Errorf("send: link %q: class %d: the source gave a batch without a sequence", st.cfg.Link, st.class)
		}
		st.ready <- fed{batch: b, buf: buf} // never blocks: as many places as buffers
		select {
		case st.wake <- struct{}{}:
		default:
		}
	}
}
