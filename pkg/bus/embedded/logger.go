package embedded

import (
	"fmt"

	"go.uber.org/zap"
)

// logger forwards NATS log messages. It also keeps a fatal message: in a server process it would be the last one, and
// here it says why the start failed.
type logger struct {
	log   *zap.SugaredLogger
	fatal chan string
}

func newLogger(log *zap.Logger) *logger {
	if log == nil {
		log = zap.NewNop()
	}
	return &logger{log: log.Named("nats").Sugar(), fatal: make(chan string, 1)}
}

func (l *logger) Noticef(format string, v ...any) { l.log.Debugf(format, v...) }
func (l *logger) Warnf(format string, v ...any)   { l.log.Warnf(format, v...) }
func (l *logger) Errorf(format string, v ...any)  { l.log.Errorf(format, v...) }
func (l *logger) Debugf(string, ...any)           {}
func (l *logger) Tracef(string, ...any)           {}

func (l *logger) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.log.Error(text)
	select {
	case l.fatal <- text:
	default:
	}
}
