package main

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestAPackageInNoTierIsSeen(t *testing.T) {
	two := []tier{
		{name: "pure", packages: []string{"pkg/a", "pkg/b/..."}},
		{name: "parts", packages: []string{"pkg/b/server"}},
	}
	at := func(paths ...string) (all []string) {
		for _, p := range paths {
			all = append(all, module+p)
		}
		return all
	}
	for name, row := range map[string]struct {
		packages []string
		want     string // in the error; empty: none
	}{
		"each has its tier":          {at("pkg/a", "pkg/b", "pkg/b/x", "pkg/b/server"), ""},
		"one is new":                 {at("pkg/a", "pkg/b", "pkg/b/server", "pkg/c"), "pkg/c has tests and is in no tier"},
		"one below is not the same":  {at("pkg/a", "pkg/b", "pkg/b/server", "pkg/a/x"), "pkg/a/x has tests"},
		"one has gone from the tree": {at("pkg/a", "pkg/b"), "parts: pkg/b/server stands for no package"},
	} {
		assigned, err := assign(two, row.packages)
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", name, err)
		}
		if row.want == "" && (!slices.Equal(assigned["pure"], at("pkg/a", "pkg/b", "pkg/b/x")) ||
			!slices.Equal(assigned["parts"], at("pkg/b/server"))) {
			t.Errorf("%s: %v", name, assigned)
		}
	}
}

// The files of testdata are what go test -json has said, shortened.
func TestWhatIsCounted(t *testing.T) {
	for name, row := range map[string]struct {
		file              string
		atLeast, packages int
		prints            []string
		wrong             string // in the error; empty: none
	}{
		"all pass": {
			"pass", 3, 1, []string{"ok  \texample/a\t", "\nx: 3 passed, 0 failed, 0 skipped\n"}, "",
		},
		"fewer than ever": {"pass", 4, 1, []string{"3 passed"}, "3 tests ran, and tiers.go wants 4"},
		"more than ever":  {"pass", 2, 1, []string{"3 passed", "still wants only 2"}, ""},
		"one fails": {
			"fail", 2, 1, []string{"a_test.go:9: not so\n", "FAIL\texample/a\t", "1 passed, 1 failed"}, "1 tests failed",
		},
		"one is skipped": {
			"skip", 2, 1, []string{"a_test.go:5: no engine\n", "1 passed, 0 failed, 1 skipped"}, "1 tests were skipped",
		},
		"one panics": {"panic", 0, 1, []string{"panic: oh no", "FAIL\texample/a\t"}, "1 tests failed"},
		"none is built": {
			"build", 0, 1, []string{"a_test.go:3:1: expected decl", "FAIL\texample/a [setup failed]\n"}, "1 packages failed",
		},
		"one never ends": {"pass", 3, 2, []string{"3 passed"}, "only 1 of 2 packages came to an end"},
	} {
		t.Run(name, func(t *testing.T) {
			events, err := os.Open("testdata/" + row.file + ".json")
			if err != nil {
				t.Fatal(err)
			}
			defer events.Close()
			var out bytes.Buffer
			c := count{out: &out, output: map[string]*bytes.Buffer{}}
			if err := c.read(events); err != nil {
				t.Fatal(err)
			}
			err = c.verdict(tier{name: "x", atLeast: row.atLeast}, row.packages)
			if (err == nil) != (row.wrong == "") || err != nil && !strings.Contains(err.Error(), row.wrong) {
				t.Errorf("verdict: %v", err)
			}
			for _, want := range row.prints {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is not printed:\n%s", want, out.String())
				}
			}
			if strings.Contains(out.String(), "chatter") {
				t.Errorf("a test that passed is printed:\n%s", out.String())
			}
		})
	}
}
