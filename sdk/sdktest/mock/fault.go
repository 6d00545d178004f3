package mock

// Fault is what goes wrong. The zero value works.
type Fault string

// The faults, by the moment at which they show.
const (
	None Fault = ""

	// Faults before the plugin serves.

	ExitSilently  Fault = "exit-silently"  // the process exits with status 0
	ExitLoudly    Fault = "exit-loudly"    // a line on standard error, status 3
	StdoutGarbage Fault = "stdout-garbage" // a line on standard output in front of the greeting
	StdoutFlood   Fault = "stdout-flood"   // a megabyte without a line break there
	NeverServes   Fault = "never-serves"

	// Faults while it is asked what it is.

	PanicDescribe Fault = "panic-describe"
	HangDescribe  Fault = "hang-describe"
	PanicValidate Fault = "panic-validate"

	// Faults when it is configured.

	RefuseConfig Fault = "refuse-config"

	// Faults while it runs.

	PanicRun      Fault = "panic-run"
	HangRun       Fault = "hang-run"    // ignores the end of its context
	HangDrain     Fault = "hang-drain"  // Drain does not return, Run goes on
	ReturnAtOnce  Fault = "return"      // Run returns nil
	FailRun       Fault = "fail-run"    // Run returns an error
	ExitRun       Fault = "exit-run"    // status 7
	FloodStderr   Fault = "flood-log"   // lines of 4 KiB without end
	AtMessage     Fault = "at-message"  // {"@message":1} on standard error
	LongLine      Fault = "long-line"   // 16 MiB on standard error without a line break
	GarbageBatch  Fault = "garbage"     // receivers: batches that are none; sinks: acknowledges the future
	DialBeyond    Fault = "dial-beyond" // asks for targets that its block does not allow
	ListenBeyond  Fault = "listen-beyond"
	Allocate      Fault = "allocate"       // memory without end
	AnswerTooSoon Fault = "answer-early"   // receivers on TCP: answers before the acknowledgement
	LoseOnDrain   Fault = "lose-on-drain"  // receivers: Drain forgets what was taken in
	LoseGarbage   Fault = "swallow"        // sinks: acknowledges damaged batches without a rejection
	LeakGoroutine Fault = "leak-goroutine" // one stays behind after Run
)
