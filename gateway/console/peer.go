package console

import (
	"context"
	"fmt"
	"net"
	"os/user"
	"strconv"
)

// peerKey is where a connection's context keeps who is at the other end.
type peerKey struct{}

// withPeer asks the kernel once per connection who is at the other end: unix(7), SO_PEERCRED.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, peerKey{}, peerName(c))
}

func peerOf(ctx context.Context) string {
	who, _ := ctx.Value(peerKey{}).(string)
	return who
}

func peerName(c net.Conn) string {
	uid, pid, err := peerCredentials(c)
	if err != nil {
		return "unknown user: " + err.Error()
	}
	name := fmt.Sprintf("uid %d", uid)
	if u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10)); err == nil {
		name = fmt.Sprintf("%s (uid %d)", u.Username, uid)
	}
	return fmt.Sprintf("%s, pid %d", name, pid)
}
