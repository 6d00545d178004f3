package hostile

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// Place tells the attacks what there is to reach. A test makes all of it on purpose.
type Place struct {
	Core     int    `json:"core"`     // process that plays the gateway
	Other    int    `json:"other"`    // process of another plugin
	Granted  string `json:"granted"`  // directory that the plugin may write
	Readable string `json:"readable"` // file that it may read
	Secret   string `json:"secret"`   // file of the gateway's state
	Beside   string `json:"beside"`   // directory beside Granted that belongs to the same user
	Console  string `json:"console"`  // stream socket of the host
	Mailbox  string `json:"mailbox"`  // datagram socket of the host
	Abstract string `json:"abstract"` // abstract datagram socket of the host, without the leading zero byte
	Runtime  string `json:"runtime"`  // directory of all plugins' sockets
}

// Attack is one thing that a plugin must not get away with.
type Attack struct {
	Name string
	// Want lists what may come of it inside the sandbox. Success is never among it.
	Want []syscall.Errno
	// Alone: what an attack that works would change spoils the process for those after it.
	Alone bool
	// Needs says what it takes to try it without the sandbox.
	Needs Need
	// Uncontrolled says why the attack is not tried without the sandbox; "" when it is.
	Uncontrolled string

	try func(Place) error
}

// Need is what an attack needs to get far enough, without the sandbox, for its outcome to differ.
type Need int

// The needs.
const (
	Nothing   Need = iota // any user
	Namespace             // root, or a user in a user namespace
	Root                  // root of the machine
)

// Outcome is what came of an attack.
type Outcome struct {
	Attack string        `json:"attack"`
	Errno  syscall.Errno `json:"errno"` // 0 = it worked
	Text   string        `json:"text"`
	// Impossible says that the attack could not even be tried on this machine, for the reason in Text.
	Impossible bool `json:"impossible,omitempty"`
}

// String is one line.
func (o Outcome) String() string {
	switch {
	case o.Impossible:
		return "cannot be tried: " + o.Text
	case o.Errno == 0:
		return "WORKED"
	case o.Errno == Killed:
		return "SIGSYS"
	default:
		return unix.ErrnoName(o.Errno)
	}
}

// errImpossible marks an attack that this machine does not allow to be tried.
var errImpossible = errors.New("cannot be tried here")

// noErrno stands for a refusal that is not the kernel's.
const noErrno = syscall.Errno(4095) // MAX_ERRNO, linux/err.h: no call returns it

// Run tries an attack.
func (a Attack) Run(p Place) Outcome {
	err := a.try(p)
	o := Outcome{Attack: a.Name}
	if err == nil {
		return o
	}
	o.Text = err.Error()
	if errors.Is(err, errImpossible) {
		o.Impossible = true
		return o
	}
	o.Errno = noErrno
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		o.Errno = errno
	}
	return o
}

// Holds reports whether the outcome is one of those that the attack must have. An attack that could not be tried has
// shown nothing.
func (a Attack) Holds(o Outcome) bool { return !o.Impossible && slices.Contains(a.Want, o.Errno) }

// Attacks lists all that ask the kernel for something, by name.
func Attacks() []Attack {
	var all []Attack
	for _, more := range [][]Attack{
		socketAttacks(), messageAttacks(), processAttacks(), programAttacks(), privilegeAttacks(), fileAttacks(), linkAttacks(), namespaceAttacks(),
		kernelAttacks(), callAttacks(),
	} {
		all = append(all, more...)
	}
	return all
}

// Find returns attacks by name.
func Find(names ...string) ([]Attack, error) {
	known := map[string]Attack{}
	for _, a := range Attacks() {
		known[a.Name] = a
	}
	out := make([]Attack, 0, len(names))
	for _, n := range names {
		a, ok := known[n]
		if !ok {
			return nil, fmt.Errorf("hostile: no attack %q among %q", n, slices.Sorted(maps.Keys(known)))
		}
		out = append(out, a)
	}
	return out, nil
}

// orders is the plugin's configuration.
type orders struct {
	Attacks []string `json:"attacks"` // of Attacks, tried in this order
	Load    string   `json:"load"`    // of Loads, after them
	Place   Place    `json:"place"`
}

// Orders makes the configuration body of a Receiver.
func Orders(p Place, load string, attacks ...string) json.RawMessage {
	body, err := json.Marshal(orders{Attacks: attacks, Load: load, Place: p})
	if err != nil {
		panic(err) // strings and numbers only
	}
	return body
}

// Sets of outcomes that several attacks have.
func refused() []syscall.Errno { return []syscall.Errno{unix.EPERM} }

// missing: C libraries fall back on ENOSYS only.
func missing() []syscall.Errno { return []syscall.Errno{unix.ENOSYS} }

// hidden: what is asked for is not there.
func hidden() []syscall.Errno { return []syscall.Errno{unix.ENOENT} }

// unwritable: not there, on a read-only file system, or not allowed.
func unwritable() []syscall.Errno {
	return []syscall.Errno{unix.ENOENT, unix.EROFS, unix.EACCES, unix.EPERM}
}

// unseen: a process that is not there, or nobody is allowed to ask.
func unseen() []syscall.Errno { return []syscall.Errno{unix.ESRCH, unix.EPERM} }

// call makes a system call with up to six arguments. RawSyscall: an attack belongs to its thread.
func call(number uintptr, args ...uintptr) (uintptr, error) {
	var a [6]uintptr
	copy(a[:], args)
	r, _, errno := unix.RawSyscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
	if errno != 0 {
		return 0, errno
	}
	return r, nil
}

// calling makes an attack of one system call.
func calling(number uintptr, args ...uintptr) func(Place) error {
	return func(Place) error {
		_, err := call(number, args...)
		return err
	}
}
