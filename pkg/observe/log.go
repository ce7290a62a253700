// Package observe provides a process's logger, its Prometheus counters, and a small HTTP server for metrics and health.
// There are no globals: services get what they need as parameters. A nil *Counters counts nothing, so tests can leave
// it out.
package observe

import (
	"fmt"
	"io"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// LogOptions configures a process's logger.
type LogOptions struct {
	// Service is included in every line.
	Service string
	// Level is debug, info, warn or error; empty: info.
	Level string
	// Out is where to write; nil: standard error. On a terminal, lines are formatted for people; otherwise each is a JSON
	// object.
	Out io.Writer
	// NoColor disables colours on a terminal (NO_COLOR).
	NoColor bool
}

// NewLogger returns a process's logger. It does not sample: every refusal must be logged.
func NewLogger(o LogOptions) (*zap.Logger, error) {
	level := zapcore.InfoLevel
	if o.Level != "" {
		var err error
		if level, err = zapcore.ParseLevel(o.Level); err != nil || level > zapcore.ErrorLevel {
			return nil, fmt.Errorf("log level %q: want debug, info, warn or error", o.Level)
		}
	}
	out := o.Out
	if out == nil {
		out = os.Stderr
	}
	e := zap.NewProductionEncoderConfig()
	e.TimeKey, e.MessageKey = "time", "message"
	e.EncodeTime = func(t time.Time, enc zapcore.PrimitiveArrayEncoder) {
		enc.AppendString(t.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	e.EncodeDuration = zapcore.StringDurationEncoder
	var encoder zapcore.Encoder
	if terminal(out) {
		e.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		e.EncodeLevel = zapcore.CapitalLevelEncoder
		if !o.NoColor {
			e.EncodeLevel = zapcore.CapitalColorLevelEncoder
		}
		encoder = zapcore.NewConsoleEncoder(e)
	} else {
		encoder = zapcore.NewJSONEncoder(e)
	}
	log := zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(out)), level),
		zap.ErrorOutput(zapcore.Lock(os.Stderr)))
	if o.Service != "" {
		log = log.With(zap.String("service", o.Service))
	}
	return log, nil
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
