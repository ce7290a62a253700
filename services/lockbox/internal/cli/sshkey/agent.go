package sshkey

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// AgentKeys returns the keys of the running ssh-agent.
func (t Tools) AgentKeys() ([]*Signer, error) { return t.agentKeys() }

func (t Tools) agentKeys() (signers []*Signer, err error) {
	err = t.ask(func(a agent.ExtendedAgent) error {
		held, err := a.List()
		if err != nil {
			return fmt.Errorf("ssh-agent does not say which keys it has: %w", err)
		}
		for _, k := range held {
			key, err := ssh.ParsePublicKey(k.Blob)
			if _, certified := key.(*ssh.Certificate); err != nil || certified {
				continue
			}
			signers = append(signers, t.agentSigner(key, k.Comment))
		}
		return nil
	})
	return signers, err
}

func (t Tools) agentSigner(key ssh.PublicKey, comment string) *Signer {
	return &Signer{Public: key, Comment: comment, Where: "ssh-agent",
		sign: func(_ context.Context, namespace string, message []byte) (blob []byte, err error) {
			err = t.ask(func(a agent.ExtendedAgent) error {
				if hardware(key) && t.Err != nil {
					_, _ = fmt.Fprintf(t.Err, "Touch your security key (%s).\n", ssh.FingerprintSHA256(key))
				}
				blob, err = sshsig(key, namespace, message, func(data []byte) (*ssh.Signature, error) { return a.Sign(key, data) })
				if err != nil {
					return fmt.Errorf("ssh-agent does not sign with %s: %w", ssh.FingerprintSHA256(key), err)
				}
				return nil
			})
			return blob, err
		}}
}

// ask connects to the agent for one question.
func (t Tools) ask(question func(agent.ExtendedAgent) error) error {
	socket := t.Getenv("SSH_AUTH_SOCK")
	if socket == "" {
		return errors.New("no ssh-agent is running here (SSH_AUTH_SOCK is not set): start one with `eval $(ssh-agent)` and " +
			"ssh-add your key, or name the file of your key")
	}
	conn, err := (&net.Dialer{}).Dial("unix", socket)
	if err != nil {
		return fmt.Errorf("ssh-agent does not answer at SSH_AUTH_SOCK: %w", err)
	}
	err = question(agent.NewClient(conn))
	if e := conn.Close(); err == nil {
		err = e
	}
	return err
}

// inAgent finds a key of the agent by its fingerprint, the file of its public key or its comment. Without a name, it is
// the only one that can sign statements.
func (t Tools) inAgent(which string) (*Signer, error) {
	held, err := t.agentKeys()
	if err != nil {
		return nil, err
	}
	fits := func(s *Signer) bool { return s.Comment == which || s.Fingerprint() == which }
	if which == "" {
		fits = func(s *Signer) bool { return Accepted(s.Public) == nil }
	} else if key, _, err := ReadPublic(t.Path(which)); err == nil {
		fits = func(s *Signer) bool { return same(s.Public, key) }
	}
	var found []*Signer
	var list strings.Builder
	for _, s := range held {
		fmt.Fprintf(&list, "\n  %s:%s  %s, %s", Agent, s.Fingerprint(), s.Public.Type(), s.Comment)
		if fits(s) {
			found = append(found, s)
		}
	}
	switch {
	case len(held) == 0:
		return nil, errors.New("ssh-agent has no keys: add yours with ssh-add")
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0 && which != "":
		return nil, fmt.Errorf("ssh-agent has no key %q; it has:%s", which, list.String())
	case len(found) == 0:
		return nil, fmt.Errorf("ssh-agent has no key of Ed25519 or ECDSA on P-256; it has:%s", list.String())
	}
	return nil, fmt.Errorf("ssh-agent has several keys; name one:%s", list.String())
}

// Accepted refuses a key whose signatures Lockbox does not accept.
func Accepted(key ssh.PublicKey) error {
	switch key.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
		return nil
	}
	return fmt.Errorf("keys of the type %s are not accepted: make one with `ssh-keygen -t ed25519`, or with a security key "+
		"`ssh-keygen -t ed25519-sk -O verify-required`", key.Type())
}
