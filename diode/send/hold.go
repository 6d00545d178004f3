package send

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

const (
	probeEvery   = 100 * time.Millisecond // while holding; as often as announcements otherwise
	probesNeeded = 2                      // ECONNREFUSED shows at the write after the one that was refused
)

// hold waits until the link takes datagrams again. Announcements serve as
// probes: they are harmless and useful to a receiver that has just come. While
// mayLeave objects not even these leave.
func (t *transmitter) hold(ctx context.Context, cause error, mayLeave func() error) error {
	t.stats.holds.Add(1)
	t.stats.setHolding(cause)
	t.log.Warn("link does not take frames, holding", "err", cause)
	for good := 0; good < probesNeeded; {
		if err := t.pace.sleep(ctx, probeEvery); err != nil {
			return err
		}
		err := mayLeave()
		if err == nil {
			_, err = t.conn.Write(t.probe())
		}
		switch {
		case err == nil:
			good++
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("send: %w", err)
		default:
			good = 0
			t.stats.setHolding(err)
		}
	}
	t.stats.setHolding(nil)
	t.log.Info("link takes frames again")
	return nil
}
