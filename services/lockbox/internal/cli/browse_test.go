package cli

import (
	"slices"
	"testing"
)

func TestPagesAreOpenedWhereThereIsADesktop(t *testing.T) {
	for name, row := range map[string]struct {
		system string
		env    map[string]string
		want   []string
	}{
		"X11":                       {"linux", map[string]string{"DISPLAY": ":0"}, []string{"xdg-open"}},
		"Wayland":                   {"linux", map[string]string{"WAYLAND_DISPLAY": "wayland-0"}, []string{"xdg-open"}},
		"no desktop":                {"linux", nil, []string{""}},
		"a browser of one's own":    {"linux", map[string]string{"BROWSER": "firefox:lynx"}, []string{"firefox"}},
		"one that needs a template": {"linux", map[string]string{"BROWSER": "firefox %s"}, []string{""}},
		"macOS":                     {"darwin", nil, []string{"open"}},
		"Windows":                   {"windows", nil, []string{"rundll32", "url.dll,FileProtocolHandler"}},
	} {
		program, args := opener(row.system, func(key string) string { return row.env[key] })
		if got := append([]string{program}, args...); !slices.Equal(got, row.want) {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
	}
}

func TestOnlyPagesAreOpened(t *testing.T) {
	open := browse(func(string) string { return "" })
	for _, bad := range []string{"file:///etc/passwd", "javascript:alert(1)", "--help", "", "://"} {
		if err := open(t.Context(), bad); err == nil {
			t.Errorf("%q was opened", bad)
		}
	}
}
