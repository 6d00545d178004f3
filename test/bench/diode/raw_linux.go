package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// What the kernel can do at all, without sealing, repair, order or pace: the yardstick of the machine.

const (
	rawBuffer  = 64 << 20 // bytes of receive buffer, as the link asks for
	rawSilence = 700 * time.Millisecond
	// rawBurst is the most that one call may carry: an IP packet is at most 65535 bytes, udp(7).
	rawBurst = 65000
)

// rawReport is what the receiver saw.
type rawReport struct {
	Bytes   int64
	Seconds float64 // from the first datagram to the last
}

// segmented makes a socket cut every write into datagrams of size bytes (UDP_SEGMENT, udp(7)).
func segmented(conn *net.UDPConn, size int) error {
	return option(conn, func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT, size) })
}

// roomy gives a socket a large receive buffer.
func roomy(conn *net.UDPConn) error {
	return option(conn, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, rawBuffer) })
}

func option(conn *net.UDPConn, set func(fd int) error) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(fd uintptr) { inner = set(int(fd)) })
	return errors.Join(err, inner)
}

// runRawSend writes bursts as fast as the kernel takes them.
func runRawSend(ctx context.Context, args []string) error {
	f := flag.NewFlagSet(verbRawSend, flag.ContinueOnError)
	address := f.String("address", "", "host:port")
	size := f.Int("size", 1472, "bytes per datagram")
	span := f.Duration("for", 2*time.Second, "how long")
	if err := f.Parse(args); err != nil {
		return err
	}
	d := net.Dialer{}
	c, err := d.DialContext(ctx, "udp", *address)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // the process ends
	conn, ok := c.(*net.UDPConn)
	if !ok {
		return fmt.Errorf("%T is no UDP socket", c)
	}
	if err := segmented(conn, *size); err != nil {
		return err
	}
	burst := make([]byte, min(rawBurst / *size, 64)**size)
	for end := time.Now().Add(*span); time.Now().Before(end) && ctx.Err() == nil; {
		if _, err := conn.Write(burst); err != nil {
			return err
		}
	}
	return nil
}

// runRawReceive counts what arrives until nothing does any more.
func runRawReceive(ctx context.Context, args []string) error {
	f := flag.NewFlagSet(verbRawReceive, flag.ContinueOnError)
	address := f.String("address", "", "host:port")
	report := f.String("report", "", "file for what arrived")
	if err := f.Parse(args); err != nil {
		return err
	}
	conn, err := listenRoomy(ctx, *address)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the process ends
	if err := option(conn, func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1) }); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	r, err := drain(conn)
	return errors.Join(err, writeReport(*report, r))
}

func listenRoomy(ctx context.Context, address string) (*net.UDPConn, error) {
	var lc net.ListenConfig
	c, err := lc.ListenPacket(ctx, "udp", address)
	if err != nil {
		return nil, err
	}
	conn, ok := c.(*net.UDPConn)
	if !ok {
		return nil, fmt.Errorf("%T is no UDP socket", c)
	}
	return conn, roomy(conn)
}

func drain(conn *net.UDPConn) (rawReport, error) {
	var r rawReport
	var first, last time.Time
	buf := make([]byte, 1<<16)
	for {
		if !first.IsZero() {
			if err := conn.SetReadDeadline(time.Now().Add(rawSilence)); err != nil {
				return r, err
			}
		}
		n, err := conn.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			r.Seconds = last.Sub(first).Seconds()
			return r, nil
		}
		if err != nil {
			return r, err
		}
		last = time.Now()
		if first.IsZero() {
			first = last
		}
		r.Bytes += int64(n)
	}
}
