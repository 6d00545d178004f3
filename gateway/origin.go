package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/sdk"
)

// classes are the priority classes, each of which has a log, the more urgent one last; index and value agree.
func classes() []sdk.Class { return []sdk.Class{sdk.ClassBulk, sdk.ClassCritical} }

func className(c sdk.Class) string {
	if c == sdk.ClassCritical {
		return "critical"
	}
	return "bulk"
}

// origin is a set of spool logs, one per class, whose entries come from one place: the receivers of this node that
// take the same way, or one link. Sequences on a link are spool sequences, so all receivers that share a link, and no
// others, share an origin.
type origin struct {
	name string // "local", "via plant-to-dmz", "from plant-to-dmz"
	logs []*spool.Log
}

// originDir is the directory of an origin. The names of several diodes together can be longer than a file's name, at
// most 255 bytes: then a hash stands for the end.
func originDir(name string) string {
	dir := strings.ReplaceAll(name, " ", "-")
	if len(dir) <= maxOriginDir {
		return dir
	}
	sum := sha256.Sum256([]byte(name))
	return dir[:maxOriginDir-nameHash-1] + "-" + hex.EncodeToString(sum[:nameHash/2])
}

// maxOriginDir is in bytes (ours; file systems allow 255).
const maxOriginDir = 200

// openOrigin opens <dir>/<origin>/<class>, and creates what is missing: a log of a class that there was not yet begins an
// epoch of its own.
func openOrigin(dir, name string, o spool.Options, log *slog.Logger) (*origin, error) {
	return openOriginWith(dir, name, o, func(sdk.Class) func(spool.EntryHead) error { return o.Evict }, log)
}

// openOriginWith opens an origin whose owner is told, per class, what the spool gives up.
func openOriginWith(dir, name string, o spool.Options, evict func(sdk.Class) func(spool.EntryHead) error, log *slog.Logger) (*origin, error) {
	or := &origin{name: name}
	for _, c := range classes() {
		o.Evict = evict(c)
		o.Log = log.With("spool", name, "class", className(c))
		l, err := spool.Open(filepath.Join(dir, originDir(name), className(c)), o)
		if err != nil {
			_ = or.Close()
			return nil, fmt.Errorf("spool %q: %w", name, err)
		}
		or.logs = append(or.logs, l)
	}
	return or, nil
}

func (o *origin) log(c sdk.Class) *spool.Log {
	if int(c) >= len(o.logs) {
		return o.logs[sdk.ClassBulk]
	}
	return o.logs[c]
}

// Close makes everything durable and gives the logs up.
func (o *origin) Close() error {
	var errs []error
	for _, l := range o.logs {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// cursors returns one cursor per class under one name.
func (o *origin) cursors(name string) ([]*spool.Cursor, error) {
	var out []*spool.Cursor
	for i, l := range o.logs {
		c, err := l.Cursor(name)
		if err != nil {
			return nil, fmt.Errorf("spool %q class %s: cursor %q: %w", o.name, className(classes()[i]), name, err)
		}
		out = append(out, c)
	}
	return out, nil
}

// positions reads the durable position of a link from the newest entries of its origin.
func (o *origin) positions() ([]diode.Position, []totals, error) {
	var ps []diode.Position
	lost := make([]totals, len(o.logs))
	for i, l := range o.logs {
		last, ok, err := l.Last()
		if err != nil {
			return nil, nil, fmt.Errorf("spool %q: newest entry: %w", o.name, err)
		}
		if !ok {
			continue
		}
		e, _, err := parseEnvelope(last.Data)
		if err != nil {
			return nil, nil, fmt.Errorf("spool %q: newest entry: %w", o.name, err)
		}
		if e.kind == kindLocal {
			return nil, nil, fmt.Errorf("spool %q: newest entry: %w: of a receiver, expected a link", o.name, errEnvelope)
		}
		lost[i] = e.totals
		if e.position.Seq > 0 { // else nothing is known but that the end of some epoch was missed
			ps = append(ps, e.position)
		}
	}
	return ps, lost, nil
}
