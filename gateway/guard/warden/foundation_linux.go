package warden

import "errors"

// extend enters the namespace of an earlier process, or makes one, and builds
// a fence in it.
func (f *foundation) extend(outer enforcer, single bool) (*annex, error) {
	kept, err := f.safe.take(f.ctx, chamberName)
	if err != nil {
		f.log.Warn("guard: what was kept cannot be had", "what", chamberName, "error", err)
	}
	c, err := openChamber(kept)
	if kept != nil {
		_ = kept.Close() // the thread in it, or its own descriptor, holds it
	}
	if err != nil {
		return nil, err
	}
	held, err := duplicate(c.ns, chamberName)
	if err == nil {
		err = f.safe.keep(f.ctx, chamberName, held)
	}
	if err != nil {
		f.log.Error("guard: nobody keeps the namespace of isolated monitoring points while no warden runs", "error", err)
	}
	var inner enforcer
	err = c.do(func() (err error) {
		inner, err = f.fence(chamberTable, single)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return &annex{outer: outer, inner: confined{c, inner}, room: c}, nil
}
