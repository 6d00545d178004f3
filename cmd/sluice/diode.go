package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/gateway/console"
)

// diodeOptions are the flags that all verbs of a link share.
type diodeOptions struct{ askOptions }

func diodeCommand() *cobra.Command {
	var o diodeOptions
	cmd := &cobra.Command{
		Use:   "diode",
		Short: "Look after one-way links: keys, what is missing, sending again, tests",
		Long: "Look after one-way links. Nothing ever comes back over a link, so each verb belongs to one side and says so on the\n" +
			"other: what is missing is known where the link ends (gaps, accept-sender, test --report), and can be sent again where\n" +
			"it begins (resend, gaps --explain, test). A person carries what has to cross: typed ranges, or a report file.",
	}
	o.flags(cmd, "node to ask (default: the one here that has the right end of the link)")
	cmd.AddCommand(
		pairCommand(&o), linkStatusCommand(&o), gapsCommand(&o), resendCommand(&o), acceptSenderCommand(&o), selfTestCommand(&o), doctorCommand(&o),
	)
	return cmd
}

// Directions of a link's end, as the status has them.
const (
	sends    = "send"
	receives = "receive"
)

// end is one end of a link on a node that answers.
type end struct {
	node   string
	link   console.Link
	client console.Client
}

// endOf finds the end of a link on the nodes that run from the state directory. The other end is not taken for it: the
// error says where to go.
func (o *diodeOptions) endOf(ctx context.Context, link, direction string) (end, error) {
	ends, err := o.ends(ctx, link)
	if err != nil {
		return end{}, err
	}
	for _, e := range ends {
		if e.link.Direction == direction {
			return e, nil
		}
	}
	other := ends[0].link
	there, _, _ := strings.Cut(other.Peer, " ")
	here := "begins"
	if other.Direction == receives {
		here = "ends"
	}
	return end{}, console.OtherSide(other.Name, here, there)
}

// ends finds all ends of a link here; an empty link means all links.
func (o *diodeOptions) ends(ctx context.Context, link string) ([]end, error) {
	nodes, err := nodesOf(o.state, o.node)
	if err != nil {
		return nil, err
	}
	var found []end
	var dead []error
	var known []string
	for _, n := range nodes {
		socket := gateway.Socket(o.state, n)
		st, err := console.Fetch(ctx, socket)
		if err != nil {
			dead = append(dead, fmt.Errorf("node %s: %w", n, err))
			continue
		}
		for _, l := range st.Links {
			known = append(known, l.Name)
			if l.Is(link) {
				found = append(found, end{node: n, link: l, client: console.Client{Path: socket}})
			}
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	if len(dead) > 0 {
		return nil, errors.Join(dead...)
	}
	slices.Sort(known)
	return nil, console.NoLink(link, strings.Join(nodes, " or "), slices.Compact(known))
}

func linkStatusCommand(o *diodeOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "status [LINK]",
		Short: "Show both ends of a link, as far as they are here",
		Long: "Show the ends of a link that are on nodes running from the state directory. The far end shows what it can know: what\n" +
			"the near side said of itself in its last heartbeat, what arrived, and what is missing.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ends, err := o.ends(cmd.Context(), strings.Join(args, ""))
			if err != nil {
				return err
			}
			return o.showEnds(cmd, ends)
		},
	}
}

func (o *diodeOptions) showEnds(cmd *cobra.Command, ends []end) error {
	links := make([]console.Link, 0, len(ends))
	for _, e := range ends {
		links = append(links, e.link)
	}
	return o.print(cmd, links, func(w io.Writer) error {
		for i := 0; i < len(ends); {
			n := i + 1
			for n < len(ends) && ends[n].node == ends[i].node {
				n++
			}
			if err := console.LinksText(w, ends[i].node, links[i:n]); err != nil {
				return err
			}
			i = n
		}
		return nil
	})
}

// isTerminal reports whether a person is at the other end.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

// confirm asks a person. Where nobody can answer, the flag --yes has to.
func confirm(cmd *cobra.Command, question string) error {
	if !isTerminal(cmd.InOrStdin()) {
		return errors.New("nobody is here to confirm it: look at it with --dry-run where there is one, then say --yes")
	}
	fmt.Fprint(cmd.OutOrStdout(), question+" [y/N] ")
	var answer string
	_, _ = fmt.Fscanln(cmd.InOrStdin(), &answer) // no answer is no
	if !slices.Contains([]string{"y", "yes"}, strings.ToLower(answer)) {
		return errors.New("nothing was done")
	}
	return nil
}
