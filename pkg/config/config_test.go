package config_test

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/openlockbox/lockbox/pkg/config"
)

type server struct {
	Host         string            `yaml:"host"`
	Port         uint16            `yaml:"port"`
	TLS          bool              `yaml:"tls"`
	PasswordFile config.SecretFile `yaml:"password_file"`
}

type issuer struct {
	URL  string `yaml:"url"`
	JWKS string `yaml:"jwks_file"`
}

type sample struct {
	Listen   netip.AddrPort           `yaml:"listen"`
	Deadline time.Duration            `yaml:"deadline"`
	Workers  int                      `yaml:"workers"`
	Ratio    float64                  `yaml:"ratio"`
	Tools    []string                 `yaml:"tools"`
	Steps    []time.Duration          `yaml:"steps"`
	Issuers  []issuer                 `yaml:"issuers"`
	Limits   map[string]time.Duration `yaml:"limits"`
	SMTP     server                   `yaml:"smtp"`
	Internal string                   // not to be configured
	Off      string                   `yaml:"-"`
}

var errTooFew = errors.New("there must be a worker")

func (s *sample) Check() error {
	if s.Workers < 1 {
		return errTooFew
	}
	return nil
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lockbox.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const full = `# all of it
listen: 127.0.0.1:8080
deadline: 4d
workers: 3
ratio: 0.5
tools: [console, "42"]
steps: [90s, 1d12h]
issuers:
  - {url: "https://login.nimbus.example", jwks_file: /etc/lockbox/nimbus.json}
limits:
  approval: 8h
smtp:
  host: mail.nimbus.example
  port: 587
  tls: true
  password_file: /run/secrets/smtp
`

func TestFileThenEnvironmentOverDefaults(t *testing.T) {
	c := sample{Workers: 1, Tools: []string{"default"}, SMTP: server{Port: 25}, Internal: "kept"}
	err := config.Load(file(t, full), []string{
		"HOME=/nowhere", "LOCKBOX_CONFIG_SMTP_HOST=other.example", "LOCKBOX_CONFIG_SMTP_TLS=false",
		"LOCKBOX_CONFIG_DEADLINE=4s", "LOCKBOX_CONFIG_STEPS=1s, 2s", "LOCKBOX_CONFIG_LISTEN=[::1]:9",
		"LOCKBOX_CONFIG_WORKERS=7", "LOCKBOX_CONFIG_SMTP_PASSWORD_FILE=/a=b",
	}, &c)
	if err != nil {
		t.Fatal(err)
	}
	want := sample{
		Listen: netip.MustParseAddrPort("[::1]:9"), Deadline: 4 * time.Second, Workers: 7, Ratio: 0.5,
		Tools:   []string{"console", "42"},
		Steps:   []time.Duration{time.Second, 2 * time.Second},
		Issuers: []issuer{{"https://login.nimbus.example", "/etc/lockbox/nimbus.json"}},
		Limits:  map[string]time.Duration{"approval": 8 * time.Hour},
		SMTP:    server{Host: "other.example", Port: 587, PasswordFile: "/a=b"}, Internal: "kept",
	}
	if d := cmp.Diff(want, c, cmpopts.EquateComparable(netip.AddrPort{})); d != "" {
		t.Error(d)
	}
}

func TestWithoutAFileTheDefaultsStay(t *testing.T) {
	for _, path := range []string{"", file(t, ""), file(t, "# nothing yet\n")} {
		c := sample{Workers: 2, Deadline: time.Hour}
		if err := config.Load(path, nil, &c); err != nil || c.Workers != 2 || c.Deadline != time.Hour {
			t.Errorf("%v, %+v", err, c)
		}
	}
}

func TestMistakesInTheFile(t *testing.T) {
	tests := []struct{ name, yaml, want string }{
		{"unknown key", "workers: 1\nworkrs: 2\n", `lockbox.yaml:2: unknown key "workrs"; did you mean "workers"?`},
		{"unknown inner key", "smtp:\n  hots: x\n", `lockbox.yaml:2: unknown key "hots"; did you mean "host"?`},
		{"unknown key in a list", "issuers:\n  - {url: a, uri: b}\n",
			`lockbox.yaml:2: unknown key "uri"; did you mean "url"?`},
		{"key twice", "workers: 1\nworkers: 2\n", `lockbox.yaml:2: key "workers" is given twice`},
		{"key twice in a map", "limits:\n  a: 1s\n  a: 2s\n", `lockbox.yaml:3: key "a" is given twice`},
		{"field without a tag", "Internal: x\n", `lockbox.yaml:1: unknown key "Internal"`},
		{"field switched off", "Off: x\n", `lockbox.yaml:1: unknown key "Off"`},
		{"secret in plain", "smtp:\n  password: hunter2\n",
			`lockbox.yaml:2: a secret is never in the configuration; give the path of a file that holds it as "password_file"`},
		{"duration without unit", "deadline: 4\n", `lockbox.yaml:1: want a duration with its unit`},
		{"negative duration", "deadline: -4s\n", `lockbox.yaml:1: want a duration`},
		{"text for a number", "workers: three\n", `lockbox.yaml:1: want a number`},
		{"quoted number", "workers: \"3\"\n", `lockbox.yaml:1: want a number`},
		{"number that does not fit", "smtp: {port: 70000}\n", `lockbox.yaml:1: want a whole number`},
		{"fraction", "workers: 1.5\n", `lockbox.yaml:1: want a whole number`},
		{"number for a text", "smtp: {host: 1}\n", `lockbox.yaml:1: want a text`},
		{"yes for true", "smtp: {tls: yes}\n", `lockbox.yaml:1: want true or false`},
		{"text for a list", "tools: console\n", `lockbox.yaml:1: want a list, got a text`},
		{"nothing for an object", "smtp:\n", `lockbox.yaml:1: want keys with values, got nothing`},
		{"list for a number", "workers: [1]\n", `lockbox.yaml:1: want a single value, got a list`},
		{"bad address", "listen: here\n", `lockbox.yaml:1: is not of the form`},
		{"not valid", "workers: 0\n", "there must be a worker"},
		{"two documents", "workers: 1\n---\nworkers: 2\n", "more than one document"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := sample{Workers: 1}
			err := config.Load(file(t, tt.yaml), nil, &c)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v repeats the secret", err)
			}
		})
	}
	if err := config.Load(filepath.Join(t.TempDir(), "none.yaml"), nil, &sample{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := config.Load(file(t, "workers: 0\n"), nil, &sample{}); !errors.Is(err, errTooFew) {
		t.Errorf("the validator's own error is hidden: %v", err)
	}
}

func TestMistakesInTheEnvironment(t *testing.T) {
	tests := []struct{ env, want string }{
		{"LOCKBOX_CONFIG_SMPT_HOST=x",
			`LOCKBOX_CONFIG_SMPT_HOST: there is no such setting; did you mean "LOCKBOX_CONFIG_SMTP_HOST"?`},
		{"LOCKBOX_CONFIG_SMTP_PASSWORD=hunter2", "LOCKBOX_CONFIG_SMTP_PASSWORD: a secret is never in the environment"},
		{"LOCKBOX_SMTP_PASSWORD=hunter2", "a secret is never in the environment; give the path of a file that holds it as " +
			"LOCKBOX_CONFIG_SMTP_PASSWORD_FILE"},
		{"LOCKBOX_WORKERS=hunter2", "LOCKBOX_WORKERS: want a whole number"},
		{"LOCKBOX_CONFIG_WORKERS=hunter2", "LOCKBOX_CONFIG_WORKERS: want a whole number"},
		{"LOCKBOX_CONFIG_SMTP_TLS=yes", "LOCKBOX_CONFIG_SMTP_TLS: want true or false"},
		{"LOCKBOX_CONFIG_DEADLINE=hunter2", "LOCKBOX_CONFIG_DEADLINE: want a duration"},
		{"LOCKBOX_CONFIG_STEPS=1s,x", "LOCKBOX_CONFIG_STEPS: element 2: want a duration"},
		{"LOCKBOX_CONFIG_ISSUERS=x", "LOCKBOX_CONFIG_ISSUERS: a []config_test.issuer can only be set in the file"},
		{"LOCKBOX_CONFIG_LIMITS=x", "can only be set in the file"},
		{"LOCKBOX_CONFIG_=x", "there is no such setting"},
	}
	for _, tt := range tests {
		err := config.Load("", []string{tt.env}, &sample{Workers: 1})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.env, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v repeats the value", err)
		}
	}
}

// The command line has variables of its own, and Kubernetes makes some for each Service: neither is a setting.
func TestVariablesOfOthersAreNotRead(t *testing.T) {
	env := []string{"LOCKBOX_URL=tls://nats:4222", "LOCKBOX_KEYS=/keys", "LOCKBOX_SERVICE_HOST=10.0.0.7",
		"LOCKBOX_PORT_4222_TCP=tcp://10.0.0.7:4222", "LOCKBOX_SMTP_PORT_25_TCP_ADDR=10.0.0.8", "LOCKBOXES=2"}
	c := sample{Workers: 2}
	err := config.Load("", env, &c)
	if err != nil || !cmp.Equal(c, sample{Workers: 2}, cmpopts.EquateComparable(c.Listen)) {
		t.Errorf("%v, %+v", err, c)
	}
	if notes := config.Former[sample](env); len(notes) > 0 {
		t.Errorf("it warns of %q", notes)
	}
}

// Settings under their former names still count, with a warning, unless the present name is set too.
func TestFormerNamesOfVariables(t *testing.T) {
	env := []string{"LOCKBOX_CONFIG_WORKERS=7", "LOCKBOX_WORKERS=3", "LOCKBOX_SMTP_HOST=mail.example"}
	c := sample{Workers: 2}
	if err := config.Load("", env, &c); err != nil || c.Workers != 7 || c.SMTP.Host != "mail.example" {
		t.Errorf("%v, %+v", err, c)
	}
	notes := config.Former[sample](env)
	if len(notes) != 2 || !strings.HasPrefix(notes[1], "LOCKBOX_SMTP_HOST is called LOCKBOX_CONFIG_SMTP_HOST now") ||
		strings.Contains(notes[1], "mail.example") {
		t.Errorf("it warns %q", notes)
	}
}

func TestConfigurationsThatMustNotBe(t *testing.T) {
	var plain struct {
		Password string `yaml:"password"`
	}
	if err := config.Load("", nil, &plain); err == nil || !strings.Contains(err.Error(), "config.SecretFile") {
		t.Errorf("a secret in plain: %v", err)
	}
	var clash struct {
		A struct {
			BC string `yaml:"b_c"`
		} `yaml:"a"`
		AB struct {
			C string `yaml:"c"`
		} `yaml:"a_b"`
	}
	if err := config.Load("", nil, &clash); err == nil || !strings.Contains(err.Error(), "LOCKBOX_CONFIG_A_B_C") {
		t.Errorf("two settings of one name: %v", err)
	}
	var number int
	if err := config.Load("", nil, &number); err == nil {
		t.Error("a number is no configuration")
	}
}

func TestSecretFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	write := func(s string, mode os.FileMode) config.SecretFile {
		t.Helper()
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return config.SecretFile(path)
	}
	if s, err := write("hunter2 \n", 0o400).Read(); s != "hunter2 " || err != nil {
		t.Errorf("%q, %v", s, err)
	}
	for name, f := range map[string]func() config.SecretFile{
		"none":                 func() config.SecretFile { return config.SecretFile(path + ".none") },
		"empty":                func() config.SecretFile { return write("\n", 0o600) },
		"too long":             func() config.SecretFile { return write(strings.Repeat("x", 70000), 0o600) },
		"writable by everyone": func() config.SecretFile { return write("hunter2", 0o602) },
	} {
		if s, err := f().Read(); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %q, %v", name, s, err)
		}
	}
}
