package hostile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/sdk"
)

// Loads are the attacks that load the machine, end the process or stop it. Each runs alone, until it is over or the
// process is killed; what came of it is the returned error's to say.
const (
	LoadForks       = "forks"        // children without end
	LoadThreads     = "threads"      // threads without end
	LoadMemory      = "memory"       // 1 GiB, touched
	LoadProcessor   = "processor"    // as many busy loops as there are processors, and more
	LoadLog         = "log"          // lines without end
	LoadDisk        = "disk"         // fills the granted directory
	LoadFiles       = "files"        // thousands of files in the granted directory
	LoadSocketFiles = "socket-files" // the same in the directory of its socket
	LoadSocketDisk  = "socket-disk"  // fills the disk through it
	LoadDeepTree    = "deep-tree"    // directories in directories in the directory of its socket
	LoadStop        = "stop"         // stops itself
	LoadCrash       = "crash"        // writes to address 0 where Go does not catch it
	LoadExit        = "exit"         // ends with a status
	LoadHang        = "hang"         // Run ignores that it is to end
	LoadDescriptors = "descriptors"  // opens all it may
	LoadPass        = "pass"         // passes descriptors to the core that it did not ask for
	LoadBeyond      = "beyond"       // asks the core for what its block does not allow
	LoadGarbage     = "garbage"      // sends the core's end of the control socket what no message is
	LoadInFlight    = "in-flight"    // keeps descriptors on their way, of which a user may have only so many
)

// Loads lists them.
func Loads() []string {
	return []string{
		LoadForks, LoadThreads, LoadMemory, LoadProcessor, LoadLog, LoadDisk, LoadFiles, LoadSocketFiles, LoadSocketDisk, LoadDeepTree,
		LoadStop, LoadCrash, LoadExit, LoadHang, LoadDescriptors, LoadPass, LoadInFlight, LoadBeyond, LoadGarbage,
	}
}

// Bounds of the loads: more than any limit in use, and not enough to hurt the machine where there is no limit.
const (
	mostChildren = 2000
	mostThreads  = 500
	mostMemory   = 1 << 30  // bytes
	mostDisk     = 64 << 20 // bytes
	mostFiles    = 5000
	mostDepth    = 3000
)

// load runs one and says what came of it.
func load(ctx context.Context, name string, p Place, network sdk.Network) error {
	switch name {
	case LoadBeyond:
		return askBeyond(ctx, network)
	case LoadGarbage:
		return sendGarbage(ctx)
	case LoadForks:
		return forkBomb()
	case LoadThreads:
		return threadBomb(ctx)
	case LoadMemory:
		return allocate(ctx)
	case LoadProcessor:
		return spin(ctx)
	case LoadLog:
		return flood(ctx)
	case LoadDisk:
		return fill(ctx, filepath.Join(p.Granted, "filler"))
	case LoadFiles:
		return makeFiles(p.Granted)
	case LoadSocketFiles:
		return makeFiles(os.Getenv(socketDir))
	case LoadSocketDisk:
		return fill(ctx, filepath.Join(os.Getenv(socketDir), "filler"))
	case LoadDeepTree:
		return deepTree(os.Getenv(socketDir))
	case LoadStop:
		return unix.Kill(os.Getpid(), unix.SIGSTOP)
	case LoadCrash:
		return crash()
	case LoadExit:
		os.Exit(7)
	case LoadHang:
		<-make(chan struct{})
	case LoadDescriptors:
		return openAll()
	case LoadPass:
		return passDescriptors()
	case LoadInFlight:
		return keepInFlight()
	}
	return fmt.Errorf("%w: no load %q", errImpossible, name)
}

// socketDir is the variable that names the directory of the plugin's socket (go-plugin, PLUGIN_UNIX_SOCKET_DIR).
const socketDir = "PLUGIN_UNIX_SOCKET_DIR"

// forkBomb makes children that wait for ever. A child has one thread and may only make system calls.
func forkBomb() error {
	for i := range mostChildren {
		pid, err := call(unix.SYS_CLONE, uintptr(unix.SIGCHLD))
		if err != nil {
			return fmt.Errorf("after %d children: %w", i, err)
		}
		if pid == 0 {
			waitForEver()
		}
	}
	return nil
}

func waitForEver() {
	for {
		_, _, _ = unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
}

// threadBomb has the runtime make threads; when it cannot, it ends the process.
func threadBomb(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready := make(chan struct{})
	for range mostThreads {
		wg.Go(func() {
			runtime.LockOSThread() // never unlocked: the thread ends with it
			ready <- struct{}{}
			<-ctx.Done()
		})
		<-ready
	}
	return nil
}

func allocate(ctx context.Context) error {
	var all [][]byte
	for size := 0; size < mostMemory && ctx.Err() == nil; size += 1 << 20 {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		all = append(all, b)
	}
	runtime.KeepAlive(all)
	return ctx.Err()
}

// spin keeps all processors busy until ctx ends.
func spin(ctx context.Context) error {
	var wg sync.WaitGroup
	runtime.GOMAXPROCS(4 * runtime.NumCPU())
	for range 4 * runtime.NumCPU() {
		wg.Go(func() {
			for n := 1; ctx.Err() == nil; n++ {
				_ = n * n
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}

func flood(ctx context.Context) error {
	line := []byte(strings.Repeat("a line of no interest ", 186) + "\n")
	raw := os.NewFile(2, "stderr")
	for ctx.Err() == nil {
		if _, err := raw.Write(line); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func fill(ctx context.Context, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // filler
	block := make([]byte, 1<<20)
	for size := 0; size < mostDisk && ctx.Err() == nil; size += len(block) {
		if _, err := f.Write(block); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func makeFiles(dir string) error {
	for i := range mostFiles {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%05d", i)), nil, 0o600); err != nil {
			return fmt.Errorf("after %d files: %w", i, err)
		}
	}
	return nil
}

// deepTree makes a directory in a directory, deeper than a path can name.
func deepTree(dir string) error {
	at, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for i := 0; i < mostDepth && err == nil; i++ {
		if err = unix.Mkdirat(at, "d", 0o700); err != nil {
			err = fmt.Errorf("at depth %d: %w", i, err)
			break
		}
		var next int
		next, err = unix.Openat(at, "d", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		_ = unix.Close(at)
		at = next
	}
	_ = unix.Close(at)
	return err
}

// crash ends the process by a signal that the runtime has no answer to.
func crash() error {
	return errors.Join(unix.Kill(os.Getpid(), unix.SIGSEGV), errors.New("it has not crashed"))
}

func openAll() error {
	for i := 0; ; i++ {
		if _, err := unix.Dup(0); err != nil {
			return fmt.Errorf("after %d descriptors: %w", i, err)
		}
	}
}

// passDescriptors sends the core messages that carry descriptors of a directory, more than the contract has, with
// nothing that the core could read beside them.
func passDescriptors() error {
	dir, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir) //nolint:errcheck // a directory
	control, err := controlSocket()
	if err != nil {
		return err
	}
	rights := unix.UnixRights(dir, dir, dir, dir, dir, dir, dir, dir)
	for i := range 100 {
		if err := unix.Sendmsg(int(control), []byte{0xff, byte(i)}, rights, nil, unix.MSG_DONTWAIT); err != nil {
			return fmt.Errorf("after %d messages: %w", i, err)
		}
	}
	return nil
}

// keepInFlight sends itself descriptors that it never takes in, until the kernel says that the user has too many on
// their way (unix(7), ETOOMANYREFS). It holds them until it ends.
func keepInFlight() error {
	rights := unix.UnixRights(slices.Repeat([]int{0}, maxRights)...)
	for sent := 0; ; {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		for err == nil {
			if err = unix.Sendmsg(fds[0], []byte{1}, rights, nil, unix.MSG_DONTWAIT); err == nil {
				sent += maxRights
			}
		}
		if !errors.Is(err, unix.EAGAIN) { // else this pair is full
			return fmt.Errorf("after %d descriptors: %w", sent, err)
		}
	}
}

// maxRights is how many descriptors one message carries (unix(7), SCM_MAX_FD).
const maxRights = 253

// Targets are what askBeyond asks for: a controller, the gateway's own machine, everything, and what is no address.
func Targets() []string {
	return []string{
		"192.0.2.66:502", "127.0.0.1:22", "[::1]:22", "0.0.0.0:0", "[::ffff:127.0.0.1]:22", "[fe80::1%lo]:22", "255.255.255.255:67",
		"224.0.0.1:5353", "localhost:22", "/run/sluice.sock", "", strings.Repeat("9", 2000) + ":1",
	}
}

// askBeyond returns nil when anything of it is granted.
func askBeyond(ctx context.Context, network sdk.Network) error {
	for _, target := range Targets() {
		if c, err := network.Dial(ctx, target); err == nil {
			_ = c.Close()
			return nil
		}
		if c, err := network.DialPacket(ctx, target); err == nil {
			_ = c.Close()
			return nil
		}
	}
	if l, err := network.Listener(ctx); err == nil {
		_ = l.Close()
		return nil
	}
	if p, err := network.Packets(ctx); err == nil {
		_ = p.Close()
		return nil
	}
	return fmt.Errorf("all is refused: %w", unix.EPERM)
}

// sendGarbage sends until the core has had enough.
func sendGarbage(ctx context.Context) error {
	control, err := controlSocket()
	if err != nil {
		return err
	}
	for i := 0; ctx.Err() == nil; i++ {
		if _, err := unix.Write(int(control), []byte{0xff, byte(i), 0xff}); err != nil {
			return fmt.Errorf("after %d messages: %w", i, err)
		}
	}
	return ctx.Err()
}
