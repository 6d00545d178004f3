package fence

import (
	"errors"
	"fmt"
	"os"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	// tableName is that of our tables.
	tableName = "sluice"
	// tableOwned is NFT_TABLE_F_OWNER: only the socket that made the table
	// may change it, and `nft flush ruleset` passes it by (Linux 5.12).
	tableOwned = 0x2
	// attrTableOwner is NFTA_TABLE_OWNER, the port of that socket.
	attrTableOwner = 7
)

// families are those of our tables.
func families() []uint8 { return []uint8{unix.NFPROTO_NETDEV, unix.NFPROTO_INET} }

// Table is our two nftables tables, netdev and inet, and the socket that owns
// them. They are removed by the kernel when the last descriptor of the socket
// is closed, in this process or another.
type Table struct{ nf *nfSocket }

// OpenTable makes the tables, in the network namespace of the calling thread.
// Tables of that name that nobody owns are replaced; those of another living
// socket are an error that wraps ErrTableOwned. A kernel that has no nftables,
// or none with owners, is a *MissingError.
func OpenTable() (*Table, error) {
	nf, err := dialNetfilter()
	if err != nil {
		return nil, noTable(err)
	}
	t := &Table{nf}
	if err := t.create(); err != nil {
		return nil, errors.Join(noTable(err), t.Close())
	}
	return t, nil
}

// noTable tells a feature that is missing from other errors.
func noTable(err error) error {
	for _, absent := range []error{unix.EOPNOTSUPP, unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT, unix.EINVAL} {
		if errors.Is(err, absent) {
			return &MissingError{
				Features:  []string{fmt.Sprintf("nftables tables with an owner (Linux 5.12, CONFIG_NF_TABLES_INET, CONFIG_NF_TABLES_NETDEV: %v)", err)},
				Remaining: "tc egress",
			}
		}
	}
	return fmt.Errorf("guard: fence: table: %w", err)
}

// AdoptTable continues with the tables of a socket that another process kept.
// It takes the file over when it returns no error.
func AdoptTable(f *os.File) (*Table, error) {
	nf, err := useNetfilter(f)
	if err != nil {
		return nil, fmt.Errorf("guard: fence: kept table: %w", err)
	}
	t := &Table{nf}
	if err := t.mine(); err != nil {
		return nil, fmt.Errorf("guard: fence: kept table: %w", err)
	}
	return t, nil
}

// File returns a descriptor of the socket, which the caller closes. The tables
// stay as long as it is open.
func (t *Table) File() (*os.File, error) {
	var file *os.File
	err := t.nf.control(func(fd int) error {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err == nil {
			file = os.NewFile(uintptr(dup), "sluice table")
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("guard: fence: table: %w", err)
	}
	return file, nil
}

// Close lets go of the socket; the tables go with its last descriptor. Closing
// again does nothing.
func (t *Table) Close() error {
	if err := t.nf.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("guard: fence: table: %w", err)
	}
	return nil
}

// mine checks that both tables are there and belong to the socket.
func (t *Table) mine() error {
	owners, err := t.owners()
	if err != nil {
		return err
	}
	for _, family := range families() {
		if owner, ok := owners[family]; !ok {
			return errors.New("it is gone")
		} else if owner != t.nf.port {
			return ErrTableOwned
		}
	}
	return nil
}

// owners lists the owner of each table of our name, by family; 0 = nobody.
func (t *Table) owners() (map[uint8]uint32, error) {
	out := map[uint8]uint32{}
	err := t.nf.dump(unix.NFT_MSG_GETTABLE, unix.NFPROTO_UNSPEC, nil, func(family uint8, attrs []byte) error {
		var name string
		var owner uint32
		err := eachAttr(attrs, func(a *netlink.AttributeDecoder) {
			switch a.Type() {
			case unix.NFTA_TABLE_NAME:
				name = a.String()
			case attrTableOwner:
				owner = a.Uint32()
			}
		})
		if name == tableName {
			out[family] = owner
		}
		return err
	})
	return out, err
}

func (t *Table) create() error {
	owners, err := t.owners()
	if err != nil {
		return err
	}
	var messages []nfMessage
	for _, family := range families() {
		owner, exists := owners[family]
		if owner != 0 {
			return ErrTableOwned
		}
		if exists {
			messages = append(messages, nfMessage{kind: unix.NFT_MSG_DELTABLE, family: family, attrs: named(unix.NFTA_TABLE_NAME, tableName)})
		}
		attrs := encodeAttrs(func(a *netlink.AttributeEncoder) {
			a.String(unix.NFTA_TABLE_NAME, tableName)
			a.Uint32(unix.NFTA_TABLE_FLAGS, tableOwned)
		})
		messages = append(messages, nfMessage{kind: unix.NFT_MSG_NEWTABLE, flags: netlink.Create, family: family, attrs: attrs})
	}
	if err := t.nf.batch(messages...); err != nil {
		return err
	}
	return t.mine()
}

// remove deletes both tables.
func (t *Table) remove() error {
	messages := make([]nfMessage, 0, 2)
	for _, family := range families() {
		messages = append(messages, nfMessage{kind: unix.NFT_MSG_DELTABLE, family: family, attrs: named(unix.NFTA_TABLE_NAME, tableName)})
	}
	return t.nf.batch(messages...)
}
