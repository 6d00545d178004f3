//go:build !linux

package main

import (
	"context"
	"errors"
	"net"
)

// rawReport is what the receiver saw.
type rawReport struct {
	Bytes   int64
	Seconds float64 // from the first datagram to the last
}

func errNotHere() error { return errors.New("segmentation offload is measured only on Linux") }

func runRawSend(context.Context, []string) error    { return errNotHere() }
func runRawReceive(context.Context, []string) error { return errNotHere() }
func segmented(*net.UDPConn, int) error             { return errNotHere() }

func listenRoomy(context.Context, string) (*net.UDPConn, error) { return nil, errNotHere() }
