package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/diode/pairing"
)

const (
	// keysDir is where a node looks for pairing files, in the state directory (docs/operating.md).
	keysDir = "keys"
	// maxPairing bounds a pairing file, bytes; a real one has less than 3 KiB (ours).
	maxPairing = 16 << 10
)

func pairCommand(o *diodeOptions) *cobra.Command {
	var name, out, install string
	cmd := &cobra.Command{
		Use:   "pair DIODE --pairing NAME --out DIR | pair --install FILE",
		Short: "Make the keys of a diode, or put a carried key file in its place",
		Long: "Make the keys of a diode: two files, one for each node, which a person carries there. No node need run, and nothing\n" +
			"secret is printed. With --install, on the node, put the carried file where the node looks for it.",
		Example: "  sluice diode pair plant-to-dmz --pairing 2026-11 --out /media/usb\n  sluice diode pair --install /media/usb/plant-to-dmz-2026-11.send.json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case install != "" && len(args)+len(name)+len(out) == 0:
				return o.install(cmd, install)
			case install == "" && len(args) == 1 && name != "" && out != "":
				return o.pair(cmd, args[0], name, out)
			}
			return errors.New("pair: say either DIODE --pairing NAME --out DIR, or --install FILE")
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&name, "pairing", "", "`name` of the pairing, as in the diode's block: the month is a good one")
	flags.StringVar(&out, "out", "", "`directory` for the two files, such as a USB stick")
	flags.StringVar(&install, "install", "", "carried `file` to put in its place on this node")
	return cmd
}

// made is what `pair` says as JSON.
type made struct {
	Send    string       `json:"send"`
	Receive string       `json:"receive"`
	Pairing pairing.File `json:"pairing"`
}

func (o *diodeOptions) pair(cmd *cobra.Command, diode, name, out string) error {
	send, receive, err := pairing.Make(diode, name, nil)
	if err != nil {
		return err
	}
	for _, side := range []pairing.Side{pairing.Send, pairing.Receive} { // neither alone: they would not match
		path := pairing.Path(out, side, diode, name)
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, fmt.Errorf("%s: %w: choose another name for the new pairing; keys are never overwritten", path, pairing.ErrExists))
		}
	}
	m := made{Pairing: send}
	if m.Send, err = pairing.Write(out, send); err != nil {
		return err
	}
	if m.Receive, err = pairing.Write(out, receive); err != nil {
		return errors.Join(err, os.Remove(m.Send))
	}
	return o.print(cmd, m, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, pairText, name, diode, send.Fingerprint, m.Send, m.Receive, filepath.Base(m.Send), filepath.Base(m.Receive), name)
		return err
	})
}

const pairText = `pairing %s of diode %s

  fingerprint       %s
  for the sender    %s
  for the receiver  %s

Both files are secret. Next:
  1. Carry each to its node, and there put it in its place:
       sluice diode pair --install %s
       sluice diode pair --install %s
     and compare the fingerprint.
  2. Delete the carried copies.
  3. In the diode's block of both nodes write pairing = %q; the one before goes into previous_pairing, so that it is
     valid until both run the new one. Restart the receiving node first, then the sending one.
`

// installed is what `pair --install` says as JSON.
type installed struct {
	Path    string       `json:"path"`
	Already bool         `json:"already"`
	Pairing pairing.File `json:"pairing"`
}

// install copies a carried file. What carried it may know no permissions, so they are not asked for there.
func (o *diodeOptions) install(cmd *cobra.Command, carried string) error {
	b, err := readBounded(carried, maxPairing)
	if err != nil {
		return err
	}
	f, err := pairing.Parse(b)
	if err != nil {
		return fmt.Errorf("%s: %w", carried, err)
	}
	dir := filepath.Join(o.state, keysDir)
	in := installed{Pairing: f}
	in.Path, err = pairing.Write(dir, f)
	if errors.Is(err, pairing.ErrExists) {
		in.Already, in.Path = true, pairing.Path(dir, f.Side, f.Diode, f.Pairing)
		err = sameAs(in.Path, f, err)
	}
	if err != nil {
		return err
	}
	return o.print(cmd, in, func(w io.Writer) error {
		verb := "installed"
		if in.Already {
			verb = "was installed already"
		}
		_, err := fmt.Fprintf(w, "pairing %s of diode %s, for the %s side, %s: %s\n\n  fingerprint  %s\n\nCompare it with the other side's. Then delete %s: it is secret. The node reads its keys when it starts.\n",
			f.Pairing, f.Diode, f.Side, verb, in.Path, f.Fingerprint, carried)
		return err
	})
}

// sameAs turns the error about a file that is there into none, when it is the same.
func sameAs(path string, f pairing.File, exists error) error {
	there, err := pairing.Load(path)
	if err != nil {
		return err
	}
	if there.Fingerprint != f.Fingerprint || there.PSK() != f.PSK() {
		return fmt.Errorf("%w (fingerprint there %s, of this file %s)", exists, there.Fingerprint, f.Fingerprint)
	}
	return nil
}
