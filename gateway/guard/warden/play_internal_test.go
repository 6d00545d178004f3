package warden

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
)

// roleEnv makes this binary play a process of a test.
const roleEnv = "WARDEN_TEST_ROLE"

// play is the other processes of the tests. It reports whether this is one.
func play() (code int, ok bool) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case Verb:
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
			defer stop()
			return Main(ctx, os.Args[2:], os.Stderr), true
		case KeeperVerb:
			return Keep(os.Args[2:]), true
		}
	}
	if os.Getenv(roleEnv) == "knock" {
		var d net.Dialer
		c, err := d.DialContext(context.Background(), "unix", os.Getenv("SOCKET"))
		if err != nil {
			fmt.Println(err)
			return 1, true
		}
		m, _, err := newConn(c.(*net.UnixConn)).receive()
		fmt.Println(m.Err, err)
		return 0, true
	}
	return 0, false
}
