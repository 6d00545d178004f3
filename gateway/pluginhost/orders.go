package pluginhost

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/sluice-gateway/sluice/gateway/pluginhost/sandbox"
)

// errand is the pipe over which a shim gets its orders. The shim waits for them, so that the host can put it into a
// control group before it does anything.
type errand struct{ read, write *os.File }

// order gives a command its descriptors: control socket, image and orders.
func order(cmd *exec.Cmd, control, image *os.File) (errand, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return errand{}, fmt.Errorf("pipe: %w", err)
	}
	cmd.ExtraFiles = []*os.File{control, image, r}
	return errand{read: r, write: w}, nil
}

// drop ends it without orders: the shim ends too.
func (e errand) drop() {
	_ = e.read.Close()
	_ = e.write.Close()
}

// spec sends the orders. It never blocks: they fit into the pipe.
func (e errand) spec(s *sandbox.Spec) error {
	defer e.drop()
	raw, err := s.Encode()
	if err != nil {
		return err
	}
	if _, err := e.write.Write(raw); err != nil {
		return fmt.Errorf("orders: %w", errors.Join(err, os.ErrClosed))
	}
	return nil
}
