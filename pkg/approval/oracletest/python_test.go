package oracletest

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/approval"
)

// python has the program that was written from the README judge the vectors of a list, a line each.
func python(t *testing.T, list string) []string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "/usr/bin/python3", "-B", "verify.py", "../testdata/vectors.json", list)
	c.Stderr = os.Stderr
	out, err := c.Output()
	must(t, err)
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// agree compares answers; why something is refused is the other verifier's own affair.
func agree(t *testing.T, list string, names, want []string) {
	t.Helper()
	got := python(t, list)
	if len(got) != len(want) {
		t.Fatalf("%s: %d answers to %d questions", list, len(got), len(want))
	}
	for i := range want {
		answer := got[i]
		if strings.HasPrefix(answer, "refused: ") {
			answer = "refused"
		}
		if answer != want[i] {
			t.Errorf("%s, %s: the other verifier says %q, want %q", list, names[i], got[i], want[i])
		}
	}
}

func TestAnotherVerifierAgrees(t *testing.T) {
	var all struct {
		Words []struct {
			Digest string
			Words  []string
		}
		Keys []struct {
			Name, ID string
			Refused  approval.Rule
		}
		Signatures []struct {
			Name    string
			Counter uint32
			Refused approval.Rule
		}
		Statements []struct {
			Name, Digest string
			Refused      approval.Rule
		}
		Decisions []struct {
			Name    string
			Refused approval.Rule
		}
		Chains []struct {
			Name string
			Keys []struct {
				ID                   string
				Added, From, Removed uint64
			}
			Demands []struct {
				Sequence uint64
				Demand   string
			}
			Refused approval.Rule
		}
		Files []struct {
			Name    string
			AsOf    time.Time
			OnTime  bool
			Refused approval.Rule
		}
	}
	read(t, &all)
	lists := []string{"words", "keys", "signatures", "statements", "decisions", "chains", "files"}
	names, want := map[string][]string{}, map[string][]string{}
	put := func(list, name string, refused approval.Rule, answer string) {
		if refused != "" {
			answer = "refused"
		}
		names[list], want[list] = append(names[list], name), append(want[list], answer)
	}
	for _, v := range all.Words {
		put("words", v.Digest, "", strings.Join(v.Words, " "))
	}
	for _, v := range all.Keys {
		put("keys", v.Name, v.Refused, v.ID)
	}
	for _, v := range all.Signatures {
		put("signatures", v.Name, v.Refused, fmt.Sprintf("counter %d", v.Counter))
	}
	for _, v := range all.Statements {
		put("statements", v.Name, v.Refused, v.Digest)
	}
	for _, v := range all.Decisions {
		put("decisions", v.Name, v.Refused, "holds")
	}
	for _, v := range all.Chains {
		var parts []string
		for _, k := range v.Keys {
			parts = append(parts, fmt.Sprintf("%s %d %d %d", k.ID, k.Added, k.From, k.Removed))
		}
		for _, d := range v.Demands {
			parts = append(parts, fmt.Sprintf("%d %s", d.Sequence, d.Demand))
		}
		put("chains", v.Name, v.Refused, strings.Join(parts, "; "))
	}
	for _, v := range all.Files {
		put("files", v.Name, v.Refused, fmt.Sprintf("as of %d, on time: %t", v.AsOf.UnixNano(), v.OnTime))
	}
	for _, list := range lists {
		t.Run(list, func(t *testing.T) { agree(t, list, names[list], want[list]) })
	}
}
