package warden

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/sluice-gateway/sluice/gateway/guard"
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
	switch os.Getenv(roleEnv) {
	case "knock":
		return knock(), true
	case "core":
		return askAsCore(), true
	}
	return 0, false
}

// knock connects, and prints what it is told.
func knock() int {
	var d net.Dialer
	c, err := d.DialContext(context.Background(), "unix", os.Getenv("SOCKET"))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	m, _, err := newConn(c.(*net.UnixConn)).receive()
	fmt.Println(m.Err, err)
	return 0
}

// askAsCore asks for one thing, and prints why it is refused.
func askAsCore() int {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var p guard.Policy
	err := json.Unmarshal([]byte(os.Getenv("POLICY")), &p)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	c, err := Dial(ctx, os.Getenv("SOCKET"), slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	by := By{Who: "core", Reason: "taken over"}
	switch os.Getenv("VERB") {
	case verbReset:
		err = c.Reset(ctx, by)
	case verbRelease:
		err = c.Release(ctx, by)
	default:
		err = c.Order(ctx, p)
	}
	if err != nil {
		fmt.Printf("%T: %v\n", errors.Unwrap(err), err)
	}
	stop()
	if err := <-done; err != nil {
		fmt.Println(err)
	}
	return 0
}
