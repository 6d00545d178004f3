package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/test/cable"
)

// bulk is the class that all of it travels in.
const bulk = "bulk"

// story is what happens to the link: it works, it is cut, it is whole again, and a person has sent again what was lost.
func (d *demo) story(ctx context.Context) error {
	if err := pause(ctx, before); err != nil {
		return err
	}
	d.say("✂ the cable is cut for %s", d.cut)
	d.site.Wire.Cut()
	if err := d.darkness(ctx); err != nil {
		return err
	}
	d.site.Wire.Mend()
	d.say("the cable is whole again: %d frames have vanished", d.site.Wire.Lost())
	passed := nearAccepted(ctx, d.site.Plant)
	if err := d.until(ctx, "the far side is past the cut", func(ctx context.Context) bool { return farNext(ctx, d.site.DMZ) > passed }); err != nil {
		return err
	}
	d.say("new messages arrive. What is missing is known exactly, on the far side alone:")
	if err := d.typed(ctx, d.site.DMZ, "diode", "gaps", cable.LinkName); err != nil {
		return err
	}
	return d.resend(ctx)
}

// darkness waits as long as the cable is cut, and tells when the far side notices.
func (d *demo) darkness(ctx context.Context) error {
	cutCtx, end := context.WithTimeout(ctx, d.cut)
	defer end()
	err := d.until(cutCtx, "the far side notices", func(ctx context.Context) bool {
		l, _ := d.site.DMZ.Link(ctx)
		return strings.HasPrefix(l.State, "silent")
	})
	switch {
	case err == nil:
		d.say("the far side raises the alarm: the near side is silent. The near side goes on, it cannot know")
		<-cutCtx.Done()
	case !errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return ctx.Err()
}

// resend types on the near side what the far side says.
func (d *demo) resend(ctx context.Context) error {
	short, err := d.site.DMZ.Sluice(ctx, "diode", "gaps", cable.LinkName, "--short")
	if err != nil {
		return err
	}
	ranges := strings.Fields(short)
	if len(ranges) == 0 {
		return errors.New("the link was cut and nothing is missing: was anything sent?")
	}
	d.say("somebody reads the range out over the telephone, and somebody types it at the plant:")
	for _, r := range ranges {
		if err := d.typed(ctx, d.site.Plant, "diode", "resend", cable.LinkName, r, "--yes"); err != nil {
			return err
		}
	}
	return d.until(ctx, "the gap is filled", func(ctx context.Context) bool {
		l, _ := d.site.DMZ.Link(ctx)
		return len(l.Gaps) > 0 && openRanges(l) == 0
	})
}

// settle waits for the last message, and counts.
func (d *demo) settle(ctx context.Context, sent int) error {
	d.say("the gap is filled; the generator stops")
	var t tally
	err := d.until(ctx, "all messages are there", func(context.Context) bool {
		var err error
		t, err = count(d.site.DMZ.Records(), sent)
		return err == nil && t.missing == 0
	})
	if err := d.typed(ctx, d.site.DMZ, "diode", "gaps", cable.LinkName); err != nil {
		return err
	}
	fmt.Fprintf(d.w, "  messages sent     %d\n  arrived           %d\n  missing           %d\n  arrived twice     %d\n\n", sent, t.arrived, t.missing, t.twice)
	switch {
	case err != nil:
		return err
	case t.missing > 0 || t.twice > 0 || sent == 0:
		return fmt.Errorf("%d of %d messages are missing, %d came twice", t.missing, sent, t.twice)
	}
	d.say("done: nothing is missing, nothing came twice")
	return nil
}

func nearAccepted(ctx context.Context, n *cable.Node) uint64 {
	l, _ := n.Link(ctx)
	if l.Send == nil {
		return 0
	}
	for _, c := range l.Send.Classes {
		if c.Class == bulk {
			return c.Accepted
		}
	}
	return 0
}

func farNext(ctx context.Context, n *cable.Node) uint64 {
	l, _ := n.Link(ctx)
	if l.Receive == nil {
		return 0
	}
	for _, c := range l.Receive.Classes {
		if c.Class == bulk {
			return c.Next
		}
	}
	return 0
}

func openRanges(l console.Link) uint64 {
	var n uint64
	for _, t := range l.Gaps {
		n += t.OpenRanges
	}
	return n
}

func pause(ctx context.Context, t time.Duration) error {
	select {
	case <-time.After(t):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
