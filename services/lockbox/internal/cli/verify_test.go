package cli

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/services/lockbox/internal/verify"
)

// What cannot be checked is said, whether or not something is wrong elsewhere.
func TestWhatAuditVerifyDoesNotCheckIsSaid(t *testing.T) {
	v := verify.Verified{Events: 9, Requests: 2, LastSequence: 9, Unchecked: []verify.Unchecked{
		{What: `this version of Lockbox does not have the built-in rules "standard-0"`, Count: 2, First: 5, Last: 7}}}
	const said = "Not checked, 2 evaluations from sequence 5 to 7: this version of Lockbox does not have the built-in rules" +
		" \"standard-0\".\n"
	if text := verifiedText(v); !strings.Contains(text, said) || strings.Contains(text, "I15") {
		t.Errorf("it says\n%s", text)
	}
	v.Violations = []verify.Violation{{Invariant: "I15", Sequence: 8, What: "weighed other facts"}}
	if text := verifiedText(v); !strings.Contains(text, said) ||
		!strings.Contains(text, "I15  at sequence 8: weighed other facts\n") {
		t.Errorf("it says\n%s", text)
	}
	if text := verifiedText(verify.Verified{}); !strings.Contains(text, "every invariant holds: I1, I2, I3, I4, I9,") ||
		!strings.Contains(text, "I15, I16, I17, I18, I19, I20, I21.\n") {
		t.Errorf("it says\n%s", text)
	}
}

func TestI16WhatIsNotReportedYetOrWasLateIsSaid(t *testing.T) {
	text := verifiedText(verify.Verified{Waiting: &verify.Mails{Count: 3, First: 7, Last: 9},
		Late: &verify.Mails{Count: 2, First: 4, Last: 4}})
	for _, said := range []string{"every invariant holds",
		"Not reported yet, nor overdue: mails about events from sequence 7 to 9, 3 of them.\n",
		"Reported more than 15 minutes after the event: mails about events from sequence 4 to 4, 2 of them.\n"} {
		if !strings.Contains(text, said) {
			t.Errorf("it does not say %q:\n%s", said, text)
		}
	}
}
