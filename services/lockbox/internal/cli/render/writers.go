package render

import "time"

// Writer is a key with which a service signs events.
type Writer struct {
	// Writer is the service.
	Writer string `json:"writer"`
	// Key is the key's id.
	Key     string    `json:"key"`
	From    time.Time `json:"from"`
	Until   time.Time `json:"until"`
	Revoked bool      `json:"revoked"`
}

// Writers renders writers' keys as of now.
func Writers(l Look, now time.Time, keys []Writer) string {
	if len(keys) == 0 {
		return "Nothing says yet who signs events.\n"
	}
	var rows [][]cell
	for _, k := range keys {
		standing := cell{"counts", good}
		switch {
		case k.Revoked:
			standing = cell{"revoked", bad}
		case !now.Before(k.Until):
			standing = cell{"ended", dim}
		case now.Before(k.From):
			standing = cell{"not yet", dim}
		}
		rows = append(rows, []cell{text(k.Writer), {k.Key, accent}, {k.From.Format(time.DateOnly), plain},
			{k.Until.Format(time.DateOnly), plain}, standing})
	}
	return l.table([]column{{title: "WRITER"}, {title: "KEY"}, {title: "FROM"}, {title: "UNTIL"}, {title: "STANDING"}},
		rows)
}
