package gateway_test

import (
	"encoding/json"
	"testing"

	"github.com/sluice-gateway/sluice/internal/auditlog"
)

// The head of the near side's audit log travels in its heartbeats.
func TestTheFarSideHearsTheHeadOfTheNearLog(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stop := r.run(t, r.text(""))
	eventually(t, "the head", func() bool {
		near, far := r.status(t, "near"), r.status(t, "far").Links[0]
		var health struct{ Audit auditlog.Head }
		return far.Receive != nil && json.Unmarshal(far.Receive.Health, &health) == nil && near.Audit.Seq > 0 && health.Audit == near.Audit
	})
	stop()
}
