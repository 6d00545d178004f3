package console

import "context"

// A node does what an operator asks of it through these interfaces. All methods are called by several
// goroutines at once, find who asks with WhoOf(ctx), end early when ctx ends, and answer with an *Error where the operator can do something: on the
// wrong side of a diode with OtherSide, for a link that there is not with NoLink.

// gaps is the receiving end's list of what is missing.
type gaps interface {
	// Gaps lists ranges, the oldest first, with totals that hold for the whole link whatever the query leaves out.
	Gaps(ctx context.Context, q GapsQuery) (GapList, error)
	// GapReport is the file of all open ranges for the near side (diode/report), at most 1 MiB.
	GapReport(ctx context.Context, link string) ([]byte, error)
}

// resends is what the sending end can send again.
type resends interface {
	// Resend queues what is still kept, or with DryRun only says how much that would be. It returns as soon as all is
	// queued; SendEnd.Resend in the status says how far it is.
	Resend(ctx context.Context, r ResendRequest) (Resend, error)
	// Explain says what ranges held, by reading what is kept of them.
	Explain(ctx context.Context, r ExplainRequest) (Explanation, error)
}

// linkCare is the care of either end of a link.
type linkCare interface {
	// AcceptSender makes a receiving end accept a sender whose state went back.
	AcceptSender(ctx context.Context, link, who string) (Acceptance, error)
	// Doctor examines one link, or all links of the node when link is empty. What is wrong is a Fact; an error means
	// that the examination itself could not be made.
	Doctor(ctx context.Context, link string) ([]Fact, error)
}

// linkTests measure a link with a numbered pattern.
type linkTests interface {
	// Test sends the pattern and returns when the last step has left, or when ctx ends.
	Test(ctx context.Context, r TestRequest) (TestState, error)
	// TestReport is what the receiving end saw of the newest test.
	TestReport(ctx context.Context, link string) (TestReport, error)
}

// guardCare is the evidence of the guard, and the end of a trip.
type guardCare interface {
	// GuardTest reads everything back and, with Watch, watches and tries for some seconds. What is wrong is in the
	// report; an error means that there is none.
	GuardTest(ctx context.Context, r GuardTestRequest) (GuardReport, error)
	// GuardReset lets what has tripped go on. It is refused when its entry cannot be written to the audit log. Trips
	// that are still there afterwards have come again.
	GuardReset(ctx context.Context, r GuardResetRequest) (Guard, error)
}

// interfaceCare decides on interfaces that appeared later.
type interfaceCare interface {
	// AcceptInterface watches the interface for 10 s and, unless it looks like a mirror port, remembers it as one that
	// may become a service interface. What cannot become one by that is refused, and the text says why.
	AcceptInterface(ctx context.Context, r AcceptRequest) (Accepted, error)
}

// control is what the server offers beside the status; what is nil is answered with an error.
type control struct {
	gaps    gaps
	resends resends
	care    linkCare
	tests   linkTests

	guard      guardCare
	interfaces interfaceCare
}

// Option adds to what a server offers.
type Option func(*control)

// WithGaps serves the list of what is missing.
func WithGaps(g gaps) Option { return func(c *control) { c.gaps = g } }

// WithResends serves sending again.
func WithResends(r resends) Option { return func(c *control) { c.resends = r } }

// WithLinkCare serves the care of links.
func WithLinkCare(l linkCare) Option { return func(c *control) { c.care = l } }

// WithLinkTests serves the measuring of links.
func WithLinkTests(l linkTests) Option { return func(c *control) { c.tests = l } }

// WithGuard serves the guard's evidence and its reset.
func WithGuard(g guardCare) Option { return func(c *control) { c.guard = g } }

// WithInterfaces serves accepting interfaces.
func WithInterfaces(i interfaceCare) Option { return func(c *control) { c.interfaces = i } }
