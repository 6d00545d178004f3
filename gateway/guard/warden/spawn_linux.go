package warden

import "syscall"

// detached gives a process a session of its own: it does not end with this
// process, or with its terminal.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
