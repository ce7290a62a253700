package ops

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	"github.com/openlockbox/lockbox/services/lockbox/internal/up/runinfo"
)

// A deployment of one process has witnesses as one of many has: with the same key of its file.
func TestUpHasWitnesses(t *testing.T) {
	dir := t.TempDir()
	data, state, file := filepath.Join(dir, "data"), filepath.Join(dir, "witness"), filepath.Join(dir, "lockbox.yaml")
	must(t, os.MkdirAll(filepath.Join(data, "keys"), 0o700))
	_, err := logkeys.LoadOrCreate(filepath.Join(data, "keys"), "lockbox.localhost/log")
	must(t, err)
	logKey := filepath.Join(data, "keys", logkeys.PublicKeyFile)
	public, err := os.ReadFile(logKey)
	must(t, err)
	const free = "127.0.0.1:0"
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", free)
	must(t, err)
	at := listener.Addr().String()
	must(t, listener.Close())
	witness := strings.TrimSpace(succeeds(t, "witness", "key", "--name", "witness.example", "--key", state+".key",
		"--type", "ml-dsa-44"))
	policy := fmt.Sprintf("log %switness them %s http://%s\nquorum them\n", public, witness, at)
	must(t, os.WriteFile(filepath.Join(dir, "policy"), []byte(policy), 0o600))
	must(t, os.WriteFile(file, fmt.Appendf(nil, "log: {policy_file: %s, witnessed_within: 1h}\n",
		filepath.Join(dir, "policy")), 0o600))

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan string, 2)
	run := func(args ...string) {
		go func() {
			code, _, errs := lockbox(ctx, args...)
			ended <- fmt.Sprint(args[0], " ", code, " ", errs)
		}()
	}
	run("witness", "--key", state+".key", "--state", state, "--log", logKey, "--listen", at)
	run("up", "--demo", "--config", file, "--data", data, "--listen", free, "--mailbox", free, "--portal", free,
		"--log-server", free, "--issuer", free)
	defer func() {
		stop()
		for range 2 {
			<-ended
		}
	}()
	trusted, err := merkle.ParsePolicy([]byte(policy))
	must(t, err)
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if info, err := runinfo.Read(data); err == nil {
			if signed, err := trusted.Open([]byte(got(t, info.LogURL+"/checkpoint"))); err == nil {
				if len(signed.Cosigned) != 1 || signed.Quorum.IsZero() {
					t.Errorf("%+v", signed)
				}
				break
			}
		}
		select {
		case said := <-ended:
			ended <- said
			t.Fatalf("it ended: %s", said)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("no checkpoint was cosigned")
		}
	}
	if said := succeeds(t, "witness", "evidence", "--state", state); said != "Nothing was refused.\n" {
		t.Error(said)
	}
}

func got(t *testing.T, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	must(t, err)
	answer, err := http.DefaultClient.Do(r)
	must(t, err)
	body, err := io.ReadAll(answer.Body)
	must(t, err)
	must(t, answer.Body.Close())
	return string(body)
}

// Who demands witnesses and names none would never see access begin.
func TestWitnessesThatAreDemandedAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		"log: {witnessed_within: 1h}":                      "log.policy_file",
		"log: {witnessed_within: 9m, policy_file: policy}": "at least 10m0s",
		"log: {witnessed_within: 1h, policy_file: policy}": "",
	} {
		file := filepath.Join(t.TempDir(), "lockbox.yaml")
		must(t, os.WriteFile(file, []byte(text), 0o600))
		f := defaults()
		err := config.Load(file, nil, &f)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
