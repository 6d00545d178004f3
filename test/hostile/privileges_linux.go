package hostile

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// privilegeAttacks try to become somebody else, or to shed what holds the process.
func privilegeAttacks() []Attack {
	prctl := func(name string, args ...uintptr) Attack {
		return Attack{Name: "privilege/" + name, Want: refused(), try: calling(unix.SYS_PRCTL, args...)}
	}
	return []Attack{
		{Name: "privilege/setuid", Want: refused(), Alone: true, Needs: Namespace, try: calling(unix.SYS_SETUID, 0)},
		{Name: "privilege/setresuid", Want: refused(), Alone: true, Needs: Namespace, try: calling(unix.SYS_SETRESUID, 0, 0, 0)},
		{Name: "privilege/setgid", Want: refused(), Alone: true, Needs: Namespace, try: calling(unix.SYS_SETGID, 0)},
		{Name: "privilege/setresgid", Want: refused(), Alone: true, Needs: Namespace, try: calling(unix.SYS_SETRESGID, 0, 0, 0)},
		{Name: "privilege/setgroups", Want: refused(), Needs: Root, try: becomeMember},
		{Name: "privilege/capset", Want: refused(), Needs: Namespace, try: raiseAll},
		prctl("dumpable", unix.PR_SET_DUMPABLE, 1),
		prctl("outlive-the-core", unix.PR_SET_PDEATHSIG, 0),
		prctl("ptracer", unix.PR_SET_PTRACER, ^uintptr(0)),
		prctl("subreaper", unix.PR_SET_CHILD_SUBREAPER, 1),
		prctl("keep-capabilities", unix.PR_SET_KEEPCAPS, 1),
		prctl("dispatch-system-calls", unix.PR_SET_SYSCALL_USER_DISPATCH, unix.PR_SYS_DISPATCH_OFF),
		{Name: "privilege/limit-of-files", Want: refused(), try: raising(unix.RLIMIT_NOFILE), Uncontrolled: ofContainers},
		{Name: "privilege/limit-of-locked-memory", Want: refused(), try: raising(unix.RLIMIT_MEMLOCK), Uncontrolled: ofContainers},
		{Name: "privilege/limit-of-core-dumps", Want: refused(), try: raising(unix.RLIMIT_CORE), Uncontrolled: ofContainers},
		{Name: "privilege/type-into-terminal", Want: refused(), try: typing},
		{Name: "privilege/personality", Want: refused(), try: calling(unix.SYS_PERSONALITY, 0x0040000)}, // ADDR_NO_RANDOMIZE
		{Name: "privilege/real-time", Want: refused(), Needs: Root, try: realTime},
	}
}

// ofContainers is why the limits have no control.
const ofContainers = "root of a container often may not either"

func becomeMember(Place) error {
	groups := [1]uint32{}
	_, err := call(unix.SYS_SETGROUPS, 1, uintptr(unsafe.Pointer(&groups[0])))
	return err
}

// raiseAll asks for CAP_NET_ADMIN, CAP_NET_RAW and CAP_SYS_ADMIN (capset(2)).
func raiseAll(Place) error {
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var d [2]unix.CapUserData
	d[0].Permitted = 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_RAW | 1<<unix.CAP_SYS_ADMIN
	d[0].Effective = d[0].Permitted
	return unix.Capset(&h, &d[0])
}

// raising lifts a hard limit by one. Where there is no limit, that is it: the attack has worked.
func raising(resource int) func(Place) error {
	return func(Place) error {
		l := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
		var now unix.Rlimit
		if err := unix.Prlimit(0, resource, nil, &now); err == nil && now.Max != unix.RLIM_INFINITY {
			l.Max = now.Max + 1
			l.Cur = now.Cur
		}
		return unix.Prlimit(0, resource, &l, nil)
	}
}

// typing puts a character into the input of a terminal, of which there is none: without a filter the kernel says so.
func typing(Place) error {
	c := byte('x')
	_, err := call(unix.SYS_IOCTL, 0, unix.TIOCSTI, uintptr(unsafe.Pointer(&c)))
	return err
}

func realTime(Place) error {
	param := int32(1)
	_, err := call(unix.SYS_SCHED_SETSCHEDULER, 0, unix.SCHED_FIFO, uintptr(unsafe.Pointer(&param)))
	return err
}
