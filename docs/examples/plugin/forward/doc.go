// Package forward is an example of a sink: it writes the payload of each record as a line to a TCP target.
//
//	core ══► Outlet.Next ──► open the batch ──► line ──► Dial(target)
//	     ◄══ Ack(number, rejected records) ◄── written
//	     ◄══ Hold("why") while the target takes nothing; nothing is lost, the same delivery is tried again
//
// It shows the rules that every sink must keep: acknowledge what is delivered, reject what can never be, hold on
// everything else. A target that breaks while a batch is written gets its lines again: duplicates are allowed, loss is
// not. It is no product: it has no TLS, and "sent" is all that it knows of its lines.
package forward
