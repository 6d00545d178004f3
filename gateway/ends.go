package gateway

import (
	"fmt"

	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/hcl/config"
	"github.com/sluice-gateway/sluice/sdk"
)

// sendingLink finds the end of a link that begins on this node. The error says where the other end is.
func (g *Gateway) sendingLink(name string) (*link, error) {
	return g.findLink(name, "send", g.view.Receive, func(d *config.Diode) error { return console.OtherSide(d.Name, "ends", d.From) })
}

// findLink finds an end by its direction; others are the links that have the other end here.
func (g *Gateway) findLink(name, direction string, others []config.LinkView, elsewhere func(*config.Diode) error) (*link, error) {
	known := make([]string, 0, len(g.view.Send)+len(g.view.Receive))
	for _, l := range g.links {
		if l.direction == direction && l.diode.Name == name {
			return l, nil
		}
	}
	for _, v := range others {
		if v.Diode.Name == name {
			return nil, elsewhere(v.Diode)
		}
	}
	for _, l := range g.links {
		known = append(known, l.diode.Name)
	}
	return nil, console.NoLink(name, g.opts.Node, known)
}

// sender is the session of a sending end that runs.
func (l *link) sender() (*sending, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.session.(*sending)
	if !ok {
		why := "it is being opened"
		if l.failed != "" {
			why = l.failed
		}
		return nil, console.Errorf(console.CodeNotNow, "%s does not run: %s: see sluice diode doctor %s", l.diode.Name, why, l.diode.Name)
	}
	return s, nil
}

// classNamed reads a class as operators write it; "" is the bulk class.
func classNamed(name string) (sdk.Class, error) {
	for _, c := range classes() {
		if className(c) == name || name == "" {
			return c, nil
		}
	}
	return 0, console.Errorf(console.CodeBadRequest, "class %q: there are %s and %s", name, className(sdk.ClassBulk), className(sdk.ClassCritical))
}

func badRequest(link string, err error) error {
	return console.Errorf(console.CodeBadRequest, "%s: %v", link, err)
}

func internal(link string, err error) error { return fmt.Errorf("%s: %w", link, err) }
