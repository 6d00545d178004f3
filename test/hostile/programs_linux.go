package hostile

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// programAttacks try to run something else than the sealed program.
func programAttacks() []Attack {
	return []Attack{
		{Name: "program/shell", Want: []syscall.Errno{unix.EPERM, unix.ENOENT, unix.EACCES}, try: func(Place) error { return spawn("/bin/sh") }},
		{Name: "program/itself", Want: []syscall.Errno{unix.EPERM, unix.ENOENT, unix.EACCES}, try: func(Place) error { return spawn("/proc/self/exe") }},
		{Name: "program/memfd", Want: refused(), try: executeMemory},
		{Name: "program/written-file", Want: []syscall.Errno{unix.EPERM, unix.EACCES}, try: executeWritten},
		{Name: "program/written-file-as-image", Want: []syscall.Errno{unix.EPERM, unix.EACCES}, Alone: true, try: executeAsImage},
		{Name: "program/map-written-file", Want: []syscall.Errno{unix.EPERM, unix.EACCES}, try: mapWritten},
	}
}

// script is what is executed: of no use to anybody, and a program only by its first line. The sandbox has to refuse it
// for what it is, a new file, before the kernel looks into it.
const script = "#!/bin/true\n"

// spawn starts a program in a process of its own, so that it can be tried more than once.
func spawn(path string) error {
	pid, err := syscall.ForkExec(path, []string{filepath.Base(path), "-c", ":"}, &syscall.ProcAttr{Env: []string{"HOSTILE_SPAWNED=1"}})
	if err != nil {
		return err
	}
	var ws unix.WaitStatus
	_, err = unix.Wait4(pid, &ws, 0, nil)
	return err
}

func executeMemory(Place) error {
	fd, err := unix.MemfdCreate("attack", unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate("attack", unix.MFD_CLOEXEC)
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // memory
	return nil           // memory that can be executed is the whole attack
}

// writeProgram leaves an executable file in the granted directory.
func writeProgram(p Place) (string, error) {
	path := filepath.Join(p.Granted, "program")
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		return "", errors.Join(errImpossible, err)
	}
	return path, nil
}

func executeWritten(p Place) error {
	path, err := writeProgram(p)
	if err != nil {
		return err
	}
	return spawn(path)
}

// executeAsImage puts a file where the shim had the plugin's image and executes that descriptor.
func executeAsImage(p Place) error {
	const image = 4
	path, err := writeProgram(p)
	if err != nil {
		return err
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // only read
	restore, err := replaceAt(fd, image)
	if err != nil {
		return err
	}
	defer restore()
	var empty [1]byte
	argv := [2]*byte{&empty[0], nil}
	_, err = call(unix.SYS_EXECVEAT, image, uintptr(unsafe.Pointer(&empty[0])), uintptr(unsafe.Pointer(&argv[0])),
		uintptr(unsafe.Pointer(&argv[1])), unix.AT_EMPTY_PATH)
	return err
}

// replaceAt puts a descriptor in the place of another, which restore puts back.
func replaceAt(fd, at int) (restore func(), err error) {
	old, err := unix.FcntlInt(uintptr(at), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil && !errors.Is(err, unix.EBADF) {
		return nil, errors.Join(errImpossible, err)
	}
	if err := unix.Dup3(fd, at, 0); err != nil {
		return nil, errors.Join(errImpossible, err)
	}
	return func() {
		if old < 0 {
			_ = unix.Close(at)
			return
		}
		_ = unix.Dup3(old, at, unix.O_CLOEXEC)
		_ = unix.Close(old)
	}, nil
}

// mapWritten maps a file of its own as code.
func mapWritten(p Place) error {
	path, err := writeProgram(p)
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	b, err := unix.Mmap(int(f.Fd()), 0, len(script), unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
	if err == nil {
		_ = unix.Munmap(b)
	}
	return err
}
