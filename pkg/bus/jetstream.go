package bus

// DirectGetSubject is where any replica of a stream answers for it.
func DirectGetSubject(stream string) string { return "$JS.API.DIRECT.GET." + stream }

// MessageGetSubject is where a stream's leader says what it holds.
func MessageGetSubject(stream string) string { return "$JS.API.STREAM.MSG.GET." + stream }

// StreamInfoSubject is where a stream's leader says how the stream is.
func StreamInfoSubject(stream string) string { return "$JS.API.STREAM.INFO." + stream }
