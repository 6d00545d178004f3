package fence

import (
	"encoding/binary"
	"fmt"

	"github.com/mdlayher/netlink"
)

// encodeAttrs encodes attributes in the byte order of nf_tables.
func encodeAttrs(f func(*netlink.AttributeEncoder)) []byte {
	a := netlink.NewAttributeEncoder()
	a.ByteOrder = binary.BigEndian
	f(a)
	b, err := a.Encode()
	if err != nil {
		return nil // an attribute beyond 64 KiB; the kernel refuses the empty message
	}
	return b
}

// named is one attribute that holds a name.
func named(kind uint16, name string) []byte {
	return encodeAttrs(func(a *netlink.AttributeEncoder) { a.String(kind, name) })
}

// nested encodes a nested attribute.
func nested(a *netlink.AttributeEncoder, kind uint16, f func(*netlink.AttributeEncoder)) {
	a.Nested(kind, func(inner *netlink.AttributeEncoder) error {
		inner.ByteOrder = binary.BigEndian
		f(inner)
		return nil
	})
}

// eachAttr decodes attributes in the byte order of nf_tables.
func eachAttr(b []byte, take func(*netlink.AttributeDecoder)) error {
	a, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return fmt.Errorf("attributes: %w", err)
	}
	a.ByteOrder = binary.BigEndian
	for a.Next() {
		take(a)
	}
	if err := a.Err(); err != nil {
		return fmt.Errorf("attributes: %w", err)
	}
	return nil
}
