package config

import (
	"fmt"
	"slices"
	"time"
)

// encrypted reports whether a receiver's traffic cannot be read and forged on its way. "by-endpoint" is the operator's
// word for it: the gateway cannot see it.
func (t Traits) encrypted() bool {
	return slices.Contains([]string{"tls", "sealed", "by-endpoint"}, t.Encryption)
}

// checkEncryption makes sure that every receiver without encryption has an exception that holds today.
func (k *checker) checkEncryption() {
	for _, r := range k.receivers() {
		t := k.traits[r.Address]
		if t.Network == "" {
			continue
		}
		allows := "unencrypted_" + t.Network
		e := k.exception(allows, r.Address)
		switch {
		case t.encrypted() && e != nil:
			k.add(Warning, "unused", "exception."+e.Name, "on", fmt.Sprintf("%s is encrypted: exception.%s allows nothing that is needed", r.Address, e.Name), "leave it out")
		case t.encrypted():
		case e == nil:
			k.add(Error, RuleNeedsException, r.Address, "", r.Address+" is not encrypted and no exception allows that",
				fmt.Sprintf("encrypt it, or write exception \"NAME\" { allows = %q, on = %s, … } with reason, approved_by and until", allows, r.Address))
		case e.Ended(k.now):
			k.add(Error, RuleExceptionEnded, r.Address, "", fmt.Sprintf("exception.%s ended on %s: %s is closed", e.Name, e.Until.Format(time.DateOnly), r.Address),
				"encrypt it, or have the exception approved again with a later until")
		}
	}
}

func (k *checker) exception(allows, on string) *Exception {
	i := slices.IndexFunc(k.c.Exceptions, func(e Exception) bool { return e.Allows == allows && e.On == on })
	if i < 0 {
		return nil
	}
	return &k.c.Exceptions[i]
}

// checkDates warns before exceptions end and about those that have ended.
func (k *checker) checkDates() {
	for _, e := range k.c.Exceptions {
		day := e.Until.Format(time.DateOnly)
		switch {
		case e.Ended(k.now):
			k.add(Warning, "exception-date", "exception."+e.Name, "until", fmt.Sprintf("exception.%s ended on %s and allows nothing any more", e.Name, day), "leave it out, or have it approved again with a later until")
		case e.EndsSoon(k.now):
			k.add(Warning, "exception-date", "exception."+e.Name, "until", fmt.Sprintf("exception.%s ends on %s: %s then closes", e.Name, day, e.On), "remove what needs it, or have it approved again with a later until")
		}
	}
}
