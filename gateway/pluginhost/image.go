package pluginhost

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// image is a sealed copy of a plugin's file in memory. Nobody can change it any more, also we cannot: what was hashed
// is what runs, whatever happens to the file.
type image struct {
	file   *os.File
	sha256 string // lower-case hexadecimal
	id     fileID // of the file before it was copied
	users  int    // guarded by images
}

// seal copies the file into a memfd, checks that this machine can run it, seals and hashes it.
func seal(path string) (*image, error) {
	src, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("pluginhost: %w", err)
	}
	defer src.Close() //nolint:errcheck // only read
	mem, err := memfd("sluice-plugin")
	if err != nil {
		return nil, err
	}
	id, err := identifyOpen(src)
	if err != nil {
		_ = mem.Close()
		return nil, err
	}
	img, err := sealed(mem, src)
	if err != nil {
		_ = mem.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	img.id = id
	return img, nil
}

func sealed(mem *os.File, src io.Reader) (*image, error) {
	n, err := io.Copy(mem, io.LimitReader(src, maxBinary+1))
	if err != nil {
		return nil, err
	}
	if n > maxBinary {
		return nil, fmt.Errorf("larger than %d MiB", maxBinary>>20)
	}
	if err := addSeals(mem); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if err := checkMachine(mem); err != nil {
		return nil, err
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, io.NewSectionReader(mem, 0, n)); err != nil {
		return nil, fmt.Errorf("hash: %w", err)
	}
	return &image{file: mem, sha256: hex.EncodeToString(hash.Sum(nil))}, nil
}

// sealTries bounds how often a seal is tried (ours: each try that fails has waited some 150 ms in the kernel).
const sealTries = 10

// addSeals forbids every change. The kernel refuses for a moment, with EBUSY, while it still holds pages that were just
// written: on a busy machine longer than it waits itself (mm/memfd.c, memfd_wait_for_pins).
func addSeals(mem *os.File) error {
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	var err error
	for range sealTries {
		if _, err = unix.FcntlInt(mem.Fd(), unix.F_ADD_SEALS, seals); !errors.Is(err, unix.EBUSY) {
			return err
		}
	}
	return err
}

// memfd asks for an executable memory file. Kernels before 6.3 do not know the flag and always make one.
func memfd(name string) (*os.File, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return nil, fmt.Errorf("pluginhost: memfd_create: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// checkMachine compares the file's ELF header (elf(5)) with that of this very program.
func checkMachine(f io.ReaderAt) error {
	theirs, err := readMachine(f)
	if err != nil {
		return err
	}
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("own program: %w", err)
	}
	defer self.Close() //nolint:errcheck // only read
	ours, err := readMachine(self)
	if err != nil {
		return fmt.Errorf("own program: %w", err)
	}
	if theirs != ours {
		return fmt.Errorf("built for %s, this machine is %s: install the build for this machine", theirs, ours)
	}
	return nil
}

type machine struct {
	class elf.Class
	order elf.Data
	code  elf.Machine
}

func (m machine) String() string { return fmt.Sprintf("%s/%s", m.code, m.class) }

func readMachine(f io.ReaderAt) (machine, error) {
	var head [20]byte
	if _, err := f.ReadAt(head[:], 0); err != nil || !bytes.HasPrefix(head[:], []byte(elf.ELFMAG)) {
		return machine{}, errors.New("not a program (no ELF header): a plugin is one executable file, not a script")
	}
	m := machine{class: elf.Class(head[elf.EI_CLASS]), order: elf.Data(head[elf.EI_DATA])}
	if m.order == elf.ELFDATA2MSB {
		m.code = elf.Machine(binary.BigEndian.Uint16(head[18:]))
	} else {
		m.code = elf.Machine(binary.LittleEndian.Uint16(head[18:]))
	}
	return m, nil
}
