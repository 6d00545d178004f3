package warden

import "time"

// Of the protocol, see the package's comment. Ours.
const (
	// messageMost bounds one message in bytes: far above any policy or
	// standing, and small enough for eight connections at once.
	messageMost = 1 << 20
	// headerBytes is the length before each message.
	headerBytes = 4
	// connectionsMost bounds the clients at once: the core, status and a few
	// operators.
	connectionsMost = 8
	// writeWithin is how long a client may leave what it is sent unread.
	writeWithin = 2 * time.Second
	// callWithin bounds one request when the caller's context does not. An
	// order sets interfaces down and up again.
	callWithin = 20 * time.Second
)

// Of the loop.
const (
	// lookEvery is how often everything is read back without any event. From
	// the design.
	lookEvery = time.Second
	// restoresMost within restoresWithin is how often one thing may have to
	// be set right again before it counts as somebody's intention. From the
	// design.
	restoresMost   = 5
	restoresWithin = time.Minute
	// restoredKept and tripsKept bound what is remembered for status.
	restoredKept = 32
	tripsKept    = 64
)

// Of the client.
const (
	// silentAfter is how long no standing may come before it counts as
	// unknown: two were missed. The design asks for three seconds.
	silentAfter = 2500 * time.Millisecond
	// The pause between two attempts to connect.
	reconnectFirst = 100 * time.Millisecond
	reconnectMost  = 2 * time.Second
	// answerEvery is how often Start looks whether the new process answers.
	answerEvery = 20 * time.Millisecond
)

// Names in the state directory.
const (
	policyFile = "policy.json"
	latchFile  = "latch.json"
	countFile  = "sent.json"
	acceptFile = "interfaces.json"
	lockFile   = "lock"
	keeperSock = "keeper.sock"
	logFile    = "warden.log"
)

// Verbs of the command line that Main and Keep stand behind.
const (
	Verb       = "guard-warden"
	KeeperVerb = "guard-keeper"
)
