package bus

// DirectGetSubject is the subject of the API by which any replica returns messages of a stream.
func DirectGetSubject(stream string) string { return "$JS.API.DIRECT.GET." + stream }

// MessageGetSubject is the subject of the API by which the stream's leader returns a message.
func MessageGetSubject(stream string) string { return "$JS.API.STREAM.MSG.GET." + stream }

// StreamInfoSubject is the subject of the API by which the stream's leader returns its configuration and state.
func StreamInfoSubject(stream string) string { return "$JS.API.STREAM.INFO." + stream }
