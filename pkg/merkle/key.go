package merkle

// KeyChange is the text of the note in which a log's keys say which one is its next.
func KeyChange(origin, next string) string {
	return "lockbox-log-key/v1\n" + origin + "\n" + next + "\n"
}
