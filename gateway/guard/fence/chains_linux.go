package fence

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	// hooks of linux/netfilter.h
	hookNetdevIngress = 0
	hookNetdevEgress  = 1
	hookInetInput     = 1
	// priorityEarly runs a chain before those of others, which have 0.
	priorityEarly = -500
	// priorityRaw runs the input chain before connection tracking.
	priorityRaw = -300
	inputChain  = "input"
	// policies of a chain: NF_DROP, NF_ACCEPT
	policyDrop, policyAccept = 0, 1
	// commentPrefix starts the comment of a chain's last rule, which holds
	// how many frames its interface had sent when it was fenced.
	commentPrefix = "sluice, sent before: "
	// commentType is NFTNL_UDATA_RULE_COMMENT of libnftnl, so that nft prints
	// it.
	commentType = 0
)

func (d direction) hook() uint32 {
	if d == egress {
		return hookNetdevEgress
	}
	return hookNetdevIngress
}

// readChains reads our chains and their rules. Rules that are none of those
// given become "?".
func (k *linuxKernel) readChains(s *state, known []rule) error {
	names, err := canonicalNames(known)
	if err != nil {
		return err
	}
	found := map[chainKey]*chainState{}
	if err := k.table.nf.dump(unix.NFT_MSG_GETCHAIN, unix.NFPROTO_UNSPEC, nil, func(family uint8, attrs []byte) error {
		return readChain(found, family, attrs)
	}); err != nil {
		return err
	}
	for _, family := range families() {
		table := named(unix.NFTA_RULE_TABLE, tableName)
		if err := k.table.nf.dump(unix.NFT_MSG_GETRULE, family, table, func(family uint8, attrs []byte) error {
			return readRule(found, names, family, attrs)
		}); err != nil {
			return err
		}
	}
	for key, c := range found {
		if key.family == unix.NFPROTO_NETDEV {
			s.chains[key.name] = *c
		} else if key.name == inputChain {
			s.input = *c
		}
	}
	return nil
}

type chainKey struct {
	family uint8
	name   string
}

func canonicalNames(known []rule) (map[string]rule, error) {
	names := make(map[string]rule, len(known))
	for _, r := range known {
		_, canonical, err := r.encode(r.family())
		if err != nil {
			return nil, err
		}
		names[canonical] = r
	}
	return names, nil
}

// family is the one whose tables hold the rule.
func (r rule) family() uint8 {
	if r.kind == dropAll || r.kind == passFlow {
		return unix.NFPROTO_NETDEV
	}
	return unix.NFPROTO_INET
}

func readChain(found map[chainKey]*chainState, family uint8, attrs []byte) error {
	c, key, table := &chainState{there: true}, chainKey{family: family}, ""
	var hook, priority, policy uint32
	err := eachAttr(attrs, func(a *netlink.AttributeDecoder) {
		switch a.Type() {
		case unix.NFTA_CHAIN_TABLE:
			table = a.String()
		case unix.NFTA_CHAIN_NAME:
			key.name = a.String()
		case unix.NFTA_CHAIN_POLICY:
			policy = a.Uint32()
		case unix.NFTA_CHAIN_HOOK:
			a.Do(func(b []byte) error { return readHook(b, &hook, &priority, &c.device) })
		}
	})
	if err != nil || table != tableName {
		return err
	}
	at, before := spotOf(key.name)
	early := int32(priorityEarly)
	if before && family == unix.NFPROTO_NETDEV {
		c.hooked = hook == at.dir.hook() && priority == uint32(early) && policy == policyDrop
	} else {
		raw := int32(priorityRaw)
		c.hooked = hook == hookInetInput && priority == uint32(raw) && policy == policyAccept
	}
	found[key] = c
	return nil
}

// readHook reads where a chain stands. A chain with several devices is none of
// ours.
func readHook(b []byte, hook, priority *uint32, device *string) error {
	return eachAttr(b, func(a *netlink.AttributeDecoder) {
		switch a.Type() {
		case unix.NFTA_HOOK_HOOKNUM:
			*hook = a.Uint32()
		case unix.NFTA_HOOK_PRIORITY:
			*priority = a.Uint32()
		case unix.NFTA_HOOK_DEV:
			*device = a.String()
		}
	})
}

func readRule(found map[chainKey]*chainState, names map[string]rule, family uint8, attrs []byte) error {
	key, table, word, dropped, comment := chainKey{family: family}, "", foreign, uint64(0), ""
	err := eachAttr(attrs, func(a *netlink.AttributeDecoder) {
		switch a.Type() {
		case unix.NFTA_RULE_TABLE:
			table = a.String()
		case unix.NFTA_RULE_CHAIN:
			key.name = a.String()
		case unix.NFTA_RULE_USERDATA:
			comment = readComment(a.Bytes())
		case unix.NFTA_RULE_EXPRESSIONS:
			a.Do(func(b []byte) error {
				canonical, frames, err := canonicalRule(b)

				if r, ok := names[canonical]; ok {
					word = r.String()
					if r.kind == dropAll {
						dropped = frames
					}
				}
				return err
			})
		}
	})
	c := found[key]
	if err != nil || table != tableName || c == nil {
		return err
	}
	c.rules = strings.TrimPrefix(c.rules+"; "+word, "; ")
	c.dropped += dropped
	if base, ok := strings.CutPrefix(comment, commentPrefix); ok {
		_, err := fmt.Sscanf(base, "%d", &c.base)
		c.based = err == nil
	}
	return nil
}

// comment encodes what nft prints as the comment of a rule: type, length and
// the text with its end (libnftnl, udata.h).
func comment(text string) []byte {
	return append([]byte{commentType, byte(len(text) + 1)}, text+"\x00"...)
}

func readComment(b []byte) string {
	if len(b) < 2 || b[0] != commentType || int(b[1]) > len(b)-2 {
		return ""
	}
	return strings.TrimSuffix(string(b[2:2+int(b[1])]), "\x00")
}

func (k *linuxKernel) setChain(c setChain) error {
	name := c.spot.chainName()
	early := int32(priorityEarly)
	chain := encodeAttrs(func(a *netlink.AttributeEncoder) {
		a.String(unix.NFTA_CHAIN_TABLE, tableName)
		a.String(unix.NFTA_CHAIN_NAME, name)
		nested(a, unix.NFTA_CHAIN_HOOK, func(a *netlink.AttributeEncoder) {
			a.Uint32(unix.NFTA_HOOK_HOOKNUM, c.spot.dir.hook())
			a.Uint32(unix.NFTA_HOOK_PRIORITY, uint32(early))
			a.String(unix.NFTA_HOOK_DEV, c.device)
		})
		a.Uint32(unix.NFTA_CHAIN_POLICY, policyDrop)
		a.String(unix.NFTA_CHAIN_TYPE, "filter")
	})
	return k.replaceChain(unix.NFPROTO_NETDEV, name, chain, c.rules, fmt.Sprintf("%s%d", commentPrefix, c.base))
}

func (k *linuxKernel) setInput(c setInput) error {
	raw := int32(priorityRaw)
	chain := encodeAttrs(func(a *netlink.AttributeEncoder) {
		a.String(unix.NFTA_CHAIN_TABLE, tableName)
		a.String(unix.NFTA_CHAIN_NAME, inputChain)
		nested(a, unix.NFTA_CHAIN_HOOK, func(a *netlink.AttributeEncoder) {
			a.Uint32(unix.NFTA_HOOK_HOOKNUM, hookInetInput)
			a.Uint32(unix.NFTA_HOOK_PRIORITY, uint32(raw))
		})
		a.Uint32(unix.NFTA_CHAIN_POLICY, policyAccept)
		a.String(unix.NFTA_CHAIN_TYPE, "filter")
	})
	return k.replaceChain(unix.NFPROTO_INET, inputChain, chain, c.rules, "")
}

// replaceChain makes a chain with its rules, and takes an earlier one of that
// name away, all at once.
func (k *linuxKernel) replaceChain(family uint8, name string, chain []byte, rules []rule, note string) error {
	there, err := k.hasChain(family, name)
	if err != nil {
		return err
	}
	var messages []nfMessage
	if there {
		messages = append(messages, chainGone(family, name))
	}
	messages = append(messages, nfMessage{kind: unix.NFT_MSG_NEWCHAIN, flags: netlink.Create, family: family, attrs: chain})
	for i, r := range rules {
		attr, _, err := r.encode(family)
		if err != nil {
			return err
		}
		attrs := encodeAttrs(func(a *netlink.AttributeEncoder) {
			a.String(unix.NFTA_RULE_TABLE, tableName)
			a.String(unix.NFTA_RULE_CHAIN, name)
			a.Bytes(unix.NFTA_RULE_EXPRESSIONS|unix.NLA_F_NESTED, attr)
			if i == len(rules)-1 && note != "" {
				a.Bytes(unix.NFTA_RULE_USERDATA, comment(note))
			}
		})
		messages = append(messages, nfMessage{kind: unix.NFT_MSG_NEWRULE, flags: netlink.Create | netlink.Append, family: family, attrs: attrs})
	}
	if len(messages) > maxBatch {
		return fmt.Errorf("%d rules are too many", len(rules))
	}
	return k.table.nf.batch(messages...)
}

func (k *linuxKernel) hasChain(family uint8, name string) (bool, error) {
	found := map[chainKey]*chainState{}
	err := k.table.nf.dump(unix.NFT_MSG_GETCHAIN, family, nil, func(family uint8, attrs []byte) error {
		return readChain(found, family, attrs)
	})
	return found[chainKey{family, name}] != nil, err
}

// chainGone removes a chain with its rules.
func chainGone(family uint8, name string) nfMessage {
	attrs := slices.Concat(named(unix.NFTA_CHAIN_TABLE, tableName), named(unix.NFTA_CHAIN_NAME, name))
	return nfMessage{kind: unix.NFT_MSG_DELCHAIN, family: family, attrs: attrs}
}
