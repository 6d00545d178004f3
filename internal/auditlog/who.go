package auditlog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"strings"
)

// Nobody is the UID of who is not known.
const Nobody = -1

// unsetLogin is what the kernel shows as the login uid of a process that no login began (audit(7): (uid_t)-1).
const unsetLogin = 1<<32 - 1

// Who did something.
type Who struct {
	UID int64 `json:"uid"` // of the process that asked; Nobody when it is not known
	// LoginUID is who logged in, whatever became of them by su or sudo; Nobody when no login began the process or the
	// kernel does not keep it.
	LoginUID int64  `json:"login_uid"`
	Login    string `json:"login,omitempty"` // that user's name, when it is another than UID
	PID      int    `json:"pid,omitempty"`
	Name     string `json:"name,omitempty"`   // of the user, or of the program that did it by itself
	Signer   string `json:"signer,omitempty"` // of a configuration that was carried here
}

// Itself is the running process, under a name: "sluice run".
func Itself(name string) Who {
	w := Who{UID: int64(os.Getuid()), PID: os.Getpid(), Name: name}
	return w.loggedIn("self")
}

// Peer is a process that asks, as the kernel named it (SO_PEERCRED, unix(7)).
func Peer(uid uint32, pid int32) Who {
	w := Who{UID: int64(uid), PID: int(pid), Name: userName(int64(uid))}
	return w.loggedIn(strconv.Itoa(int(pid)))
}

func (w Who) loggedIn(process string) Who {
	w.LoginUID = loginOf(process)
	if w.LoginUID >= 0 && w.LoginUID != w.UID {
		w.Login = userName(w.LoginUID)
	}
	return w
}

// userName is empty when the machine knows no such user.
func userName(uid int64) string {
	u, err := user.LookupId(strconv.FormatInt(uid, 10))
	if err != nil {
		return ""
	}
	return u.Username
}

// String names them for people.
func (w Who) String() string {
	switch {
	case w.Signer != "":
		return "signed by " + w.Signer
	case w.UID < 0 && w.Name == "":
		return "unknown user"
	case w.UID < 0:
		return w.Name
	}
	s := named(w.Name, w.UID)
	if w.LoginUID >= 0 && w.LoginUID != w.UID {
		s += ", logged in as " + named(w.Login, w.LoginUID)
	}
	if w.PID > 0 {
		s += fmt.Sprintf(", pid %d", w.PID)
	}
	return s
}

func named(name string, uid int64) string {
	if name == "" {
		return fmt.Sprintf("uid %d", uid)
	}
	return fmt.Sprintf("%s (uid %d)", name, uid)
}

func (w Who) cut() Who {
	w.Name, w.Login, w.Signer = cut(w.Name, maxWord), cut(w.Login, maxWord), cut(w.Signer, maxWord)
	return w
}

// loginOf reads the login uid that the kernel's audit keeps of a process: proc_pid_loginuid(5).
func loginOf(process string) int64 {
	f, err := os.Open("/proc/" + process + "/loginuid")
	if err != nil {
		return Nobody
	}
	defer f.Close() //nolint:errcheck // read only
	b := make([]byte, 16)
	n, err := f.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		return Nobody
	}
	uid, err := strconv.ParseUint(strings.TrimSpace(string(b[:n])), 10, 32)
	if err != nil || uid == unsetLogin {
		return Nobody
	}
	return int64(uid)
}
