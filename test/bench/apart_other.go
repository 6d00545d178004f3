//go:build !linux

package main

import (
	"context"
	"errors"
)

const apartVerb = "apart"

var errLinux = errors.New("a warden needs Linux")

func wardens() bool { return false }

func apart(context.Context, []string) error { return errLinux }

func settle(context.Context) error { return errLinux }

func (*lab) startWarden(context.Context) error { return errLinux }
