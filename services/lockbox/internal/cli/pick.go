package cli

import (
	"fmt"
	"strings"

	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
)

// candidate is something that an argument can name: by its id, a part of the id, or its name.
type candidate struct {
	id, name string
	// about tells it from others, for people; empty: its name does.
	about string
}

// pick returns the one that an argument names among all that the caller sees. The whole id comes before the name, in
// any letter case, and that before a beginning or end of the id. If several are named alike, it says so and lists them.
// What is not among them reads the same whether it exists or not (I9).
func pick[T any](c *cobra.Command, kind, named, listedBy string, all []T, of func(T) candidate) (found T, err error) {
	var fits []T
	for _, is := range []func(candidate) bool{
		func(x candidate) bool { return x.id == named },
		func(x candidate) bool { return x.name != "" && strings.EqualFold(x.name, named) },
		func(x candidate) bool {
			return len(named) >= shortest && isPart(strings.ToLower(named), strings.ToLower(x.id))
		},
	} {
		for _, x := range all {
			if is(of(x)) {
				fits = append(fits, x)
			}
		}
		if len(fits) > 0 {
			break
		}
	}
	switch len(fits) {
	case 0:
		return found, refusal.NotFound(kind, "I9", "there is no %s of that id or name that you may see; %s lists them", kind,
			listedBy)
	case 1:
		return fits[0], nil
	}
	var list strings.Builder
	for _, x := range fits {
		fmt.Fprintf(&list, "\n  %s  %s", render.Clean(of(x).id), render.Clean(first(of(x).about, of(x).name)))
	}
	more := ""
	if c.Flag("subscription") != nil {
		more = ", or --subscription"
	}
	return found, usage(c, "%d %ss have an id or name like %s; give more of it%s:%s", len(fits), kind, named, more,
		list.String())
}
