package arm_test

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer/bearertest"
)

//go:embed testdata/samples.json
var samples []byte

// Each request of the public specification's samples is understood, and the answer has all that the sample's has.
func TestTheSamplesOfThePublicSpecification(t *testing.T) {
	var file struct {
		Samples []struct {
			Name, Agent, Request string
			Body                 json.RawMessage
			Response             any
		}
	}
	if err := json.Unmarshal(samples, &file); err != nil || len(file.Samples) == 0 {
		t.Fatal(err)
	}
	for _, s := range file.Samples {
		t.Run(s.Name, func(t *testing.T) {
			b := bank()
			done := func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
				return &lockboxv1.CommandReply{Sequence: 12}, nil
			}
			b.Commands["approve"], b.Commands["enable_lockbox"] = done, done
			method, address, _ := strings.Cut(strings.NewReplacer("{subscriptionId}", "meadow-production", "{requestId}", id,
				"{tenantId}", "meadowbank").Replace(s.Request), " ")
			w := bearertest.Call(serve(t, b), method, address, bearertest.Otto, string(s.Body), "User-Agent", s.Agent)
			if w.Code != 200 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			var got any
			if w.Body.Len() > 0 {
				if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
					t.Fatal(err)
				}
				has(t, "", s.Response, got)
			}
		})
	}
}

// has reports what the sample's answer has and ours has not.
func has(t *testing.T, at string, sample, ours any) {
	t.Helper()
	if fmt.Sprintf("%T", sample) != fmt.Sprintf("%T", ours) {
		t.Errorf("%s is a %T, and a %T in the sample", at, ours, sample)
		return
	}
	switch sample := sample.(type) {
	case map[string]any:
		for name, value := range sample {
			has(t, at+"."+name, value, ours.(map[string]any)[name]) //nolint:errcheck // of the same type
		}
	case []any:
		list := ours.([]any) //nolint:errcheck // of the same type
		if len(list) == 0 {
			t.Errorf("%s is empty", at)
		}
		for i, one := range list {
			has(t, fmt.Sprint(at, i), sample[0], one)
		}
	case string:
		if sample != "" && sample != ours {
			t.Errorf("%s is %v, and %s in the sample", at, ours, sample)
		}
	}
}
