package load

import (
	"context"
	"fmt"
	"net"
	"time"
)

// tick is how often the datagrams that are due are sent: short, so that the bursts are small (ours).
const tick = 500 * time.Microsecond

// SendUDP sends count messages, one per datagram, at rate per second. Datagrams that the kernel refuses are counted and
// not sent again.
func SendUDP(ctx context.Context, address string, f *Frames, count, rate uint64) (Sent, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", address)
	if err != nil {
		return Sent{}, fmt.Errorf("load: %w", err)
	}
	defer conn.Close() //nolint:errcheck // datagrams need no goodbye
	out := Sent{First: time.Now()}
	buf := make([]byte, 0, MessageBytes)
	for out.Count < count {
		due := min(count, uint64(time.Since(out.First).Seconds()*float64(rate))+1)
		for ; out.Count < due; out.Count++ {
			buf = f.Append(buf[:0], out.Count)
			if _, err := conn.Write(buf); err != nil {
				out.Errors++
			}
		}
		if err := pause(ctx, tick); err != nil {
			return out, err
		}
	}
	out.Last = time.Now()
	return out, nil
}
