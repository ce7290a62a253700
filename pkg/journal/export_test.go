package journal

// Together has a journal share the reading of every replay of everything, however short.
func Together() Option { return func(j *Journal) { j.longReplay = 0 } }
