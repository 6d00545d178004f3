package pluginhost

import (
	"cmp"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/pluginhost/sandbox"
)

const (
	pluginUser = "sluice-plugin" // what packages of the gateway make
	nobody     = 65534           // the kernel's overflow user: owns nothing
)

// namespaceFlags are the namespaces in which a plugin starts; that of control groups is made by the shim, once the
// host has put it where it belongs.
const namespaceFlags = unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS

// runAs is as whom plugins run.
type runAs struct {
	root     bool // the gateway has what it takes to make namespaces and another user
	uid, gid int  // of plugins, when root
}

// whoRuns decides it. To be root is to have capabilities: a process of user 0 may have none.
func whoRuns(cfg Sandbox) runAs {
	const needed = 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID | 1<<unix.CAP_SETPCAP |
		1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_KILL
	var held [2]unix.CapUserData
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&head, &held[0]); err != nil || held[0].Effective&needed != needed {
		return runAs{uid: sandbox.Stay, gid: sandbox.Stay}
	}
	uid, gid := nobody, nobody
	if u, err := user.Lookup(pluginUser); err == nil {
		uid, gid = number(u.Uid), number(u.Gid)
	}
	return runAs{root: true, uid: cmp.Or(cfg.PluginUID, uid), gid: cmp.Or(cfg.PluginGID, gid)}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n == 0 {
		return nobody
	}
	return n
}

// namespaces adds to the attributes of a process what makes it start in namespaces of its own. An ordinary user makes
// a user namespace around them, which has one user, "nobody", who outside is that user.
func (id runAs) namespaces(attr *syscall.SysProcAttr) {
	attr.Cloneflags |= namespaceFlags
	if id.root {
		return
	}
	attr.Cloneflags |= unix.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Geteuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Getegid(), Size: 1}}
	// For the shim, which mounts and then empties all sets.
	attr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SETPCAP}
}
