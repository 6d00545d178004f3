package matrix_test

import (
	"slices"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/test/netlab"
)

// reaction bounds how long the guard may take to set something right or to
// trip: it looks every second and on every event.
const reaction = 2 * time.Second

// TestEmission is the emission table: each stimulus under each defence, for an
// interface of each role.
func TestEmission(t *testing.T) {
	netlab.Require(t)
	report := newTable()
	t.Run("of", func(t *testing.T) { // returns when all cells have ended
		for _, r := range roles() {
			for _, s := range stimuli() {
				for _, column := range r.columns {
					t.Run(r.name+"/"+s.name+"/"+column, func(t *testing.T) {
						t.Parallel()
						if r.name != monitoring && testing.Short() {
							t.Skip("only monitoring points with -short")
						}
						emission(t, report, r, s, column)
					})
				}
			}
		}
	})
	if err := report.save(); err != nil {
		t.Error(err)
	}
}

// emission is one cell of the table.
func emission(t *testing.T, report *table, r role, s stimulus, column string) {
	t.Helper()
	c := newCell(t, s.own)
	for _, a := range r.addresses {
		c.node.AddAddr(guarded, a)
	}
	c.defend(column, r.policy)
	if !s.late {
		c.up()
	}
	if lacks := s.do(c); lacks != nil {
		c.defence.end()
		report.note(r.name, s.name, column, outcome{lacks: lacks})
		t.Skip(lacks)
	}
	o := outcome{}
	o.seen, o.own = c.seen()
	o.cause, o.tripped = c.awaitTrip(column == all && (s.trips || o.seen > 0))
	o.restored = c.defence.restored()
	c.defence.end()
	c.control()
	report.note(r.name, s.name, column, o)
	s.judge(t, column, o)
}

// awaitTrip gives the guard its time when it has to trip.
func (c *cell) awaitTrip(must bool) (string, bool) {
	deadline := time.Now().Add(reaction)
	for must && time.Now().Before(deadline) {
		if cause, yes := c.defence.tripped(); yes {
			return cause, yes
		}
		c.rest(5 * time.Millisecond)
	}
	return c.defence.tripped()
}

// judge compares what was seen with what the table says.
func (s stimulus) judge(t *testing.T, column string, o outcome) {
	t.Helper()
	leaks := slices.Contains(s.leaks, column)
	switch {
	case column == all && o.seen > 0 && !o.tripped:
		t.Errorf("%d frames left, %d of them the stimulus' own, and the guard did not trip", o.seen, o.own)
	case column == all && s.trips && !o.tripped:
		t.Error("the guard did not trip")
	case column == all && s.races:
		t.Logf("%d frames left; tripped: %v %s; restored: %v", o.seen, o.tripped, o.cause, o.restored)
	case column == all && !s.trips && o.tripped:
		t.Errorf("the guard tripped, although nothing can have left: %s", o.cause)
	case leaks && o.own == 0 && column != all:
		t.Error("no frame was seen: the stimulus stimulates nothing, or the table is wrong")
	case !leaks && o.own > 0:
		t.Errorf("%d frames left", o.own)
	}
}
