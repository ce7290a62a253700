package observe

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	askTimeout = 3 * time.Second
	mostAnswer = 64 << 10 // bytes
)

// Ask asks a process for its health, writes what it says, and returns an error unless it is well.
func Ask(ctx context.Context, url string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.LimitReader(answer.Body, mostAnswer))
	_ = answer.Body.Close()
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, answer.Status)
	}
	return err
}
