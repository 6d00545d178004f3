package guard

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sizes and numbers of linux/ethtool.h, which x/sys/unix does not define.
const (
	stringBytes  = 32 // ETH_GSTRING_LEN
	setFeatures  = 4  // ETH_SS_FEATURES
	maxFeatures  = 1024
	featureBits  = 32 // in one struct ethtool_get_features_block
	featureWords = 4  // available, requested, active, never_changed
	activeWord   = 2
)

// ReadFile implements prober.
func (machine) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }

// Device implements prober, by the ioctls of ethtool(8).
func (machine) Device(name string) (device, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return device{}, fmt.Errorf("guard: ask the driver of %s: %w", name, err)
	}
	defer func() { _ = unix.Close(fd) }()
	d := device{}
	if d.features, err = features(fd, name); err != nil {
		return device{}, fmt.Errorf("guard: ask the driver of %s: %w", name, err)
	}
	ring := [9]uint32{unix.ETHTOOL_GRINGPARAM}     // struct ethtool_ringparam
	err = ethtool(fd, name, unsafe.Pointer(&ring)) //nolint:gosec // G103: ioctl(2) takes the address of a structure
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return device{}, fmt.Errorf("guard: ask the driver of %s for its rings: %w", name, err)
	}
	if err == nil {
		d.rxRingMax, d.txRingMax, d.rxRing, d.txRing = int(ring[1]), int(ring[4]), int(ring[5]), int(ring[8])
	}
	return d, nil
}

// features reads the names of all offloads and which are on.
func features(fd int, name string) (map[string]bool, error) {
	// struct ethtool_sset_info: cmd, reserved, mask (64 bits), one count.
	info := [5]uint32{unix.ETHTOOL_GSSET_INFO, 0, 1 << setFeatures}
	if err := ethtool(fd, name, unsafe.Pointer(&info)); err != nil { //nolint:gosec // G103: ioctl(2) takes the address of a structure
		return nil, err
	}
	n := int(info[4])
	if n == 0 || n > maxFeatures {
		return nil, fmt.Errorf("%d features", n)
	}
	// struct ethtool_gstrings: cmd, set, count, names.
	names := make([]uint32, 3+n*stringBytes/4)
	names[0], names[1], names[2] = unix.ETHTOOL_GSTRINGS, setFeatures, uint32(n)
	if err := ethtool(fd, name, unsafe.Pointer(&names[0])); err != nil { //nolint:gosec // G103: ioctl(2) takes the address of a structure
		return nil, err
	}
	// struct ethtool_gfeatures: cmd, number of blocks, blocks.
	blocks := (n + featureBits - 1) / featureBits
	flags := make([]uint32, 2+blocks*featureWords)
	flags[0], flags[1] = unix.ETHTOOL_GFEATURES, uint32(blocks)
	if err := ethtool(fd, name, unsafe.Pointer(&flags[0])); err != nil { //nolint:gosec // G103: ioctl(2) takes the address of a structure
		return nil, err
	}
	text := unsafe.Slice((*byte)(unsafe.Pointer(&names[3])), n*stringBytes) //nolint:gosec // G103: ioctl(2) takes the address of a structure
	out := make(map[string]bool, n)
	for i := range n {
		label, _, _ := bytes.Cut(text[i*stringBytes:(i+1)*stringBytes], []byte{0})
		active := flags[2+i/featureBits*featureWords+activeWord]
		out[string(label)] = active&(1<<(i%featureBits)) != 0
	}
	return out, nil
}

// ifreqData is struct ifreq of netdevice(7) with its pointer.
type ifreqData struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte // the union is larger than a pointer
}

func ethtool(fd int, name string, data unsafe.Pointer) error {
	if len(name) >= unix.IFNAMSIZ {
		return unix.ENODEV
	}
	req := ifreqData{data: data}
	copy(req.name[:], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))) //nolint:gosec // G103: ioctl(2) takes the address of a structure
	runtime.KeepAlive(&req)
	if errno != 0 {
		return fmt.Errorf("ethtool: %w", errno)
	}
	return nil
}
