package console

import (
	"context"
	"net"

	"github.com/sluice-gateway/sluice/internal/auditlog"
)

// peerKey is where a connection's context keeps who is at the other end.
type peerKey struct{}

// withPeer asks the kernel once per connection who is at the other end: unix(7), SO_PEERCRED.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, peerKey{}, peerOf(c))
}

// WhoOf is who asks, in the context of a call of the node's functions.
func WhoOf(ctx context.Context) auditlog.Who {
	if who, ok := ctx.Value(peerKey{}).(auditlog.Who); ok {
		return who
	}
	return auditlog.Who{UID: auditlog.Nobody, LoginUID: auditlog.Nobody}
}

func peerOf(c net.Conn) auditlog.Who {
	uid, pid, err := peerCredentials(c)
	if err != nil {
		return auditlog.Who{UID: auditlog.Nobody, LoginUID: auditlog.Nobody, Name: "unknown user: " + err.Error()}
	}
	return auditlog.Peer(uid, pid)
}
