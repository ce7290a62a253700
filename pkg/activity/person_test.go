package activity_test

import (
	"testing"

	"github.com/openlockbox/lockbox/pkg/activity"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

func TestAPersonIsFoundByAnyOfTheirNames(t *testing.T) {
	p := &lockboxv1.Person{Issuer: "https://login.example", Subject: "Otto-1", DisplayName: "Otto Owens",
		Email: "otto@meadowbank.example"}
	for name, want := range map[string]bool{
		"otto-1": true, "OTTO OWENS": true, "otto@MEADOWBANK.example": true,
		"otto": false, "": false, "https://login.example": false,
	} {
		if activity.Is(p, name) != want {
			t.Errorf("%q: %t", name, !want)
		}
	}
	if activity.Is(&lockboxv1.Person{}, "") || activity.Is(nil, "otto") {
		t.Error("nobody is somebody")
	}
}
