package approval

// Signature is one signature of a statement, with the key that made it. It is an assertion of WebAuthn, or one of SSH's
// (SSHSIG), as the key's kind says.
type Signature struct {
	// Key is the key's id.
	Key string `json:"key"`
	// AuthenticatorData and ClientData are those of an assertion; empty for SSH. All bytes are base64url without padding.
	AuthenticatorData string `json:"authenticatorData"`
	ClientData        string `json:"clientDataJSON"`
	// Bytes is the assertion's signature, or all of an SSHSIG without its armor.
	Bytes string `json:"signature"`
}

// Signed is a statement with its signatures, in the order of their keys' ids.
type Signed struct {
	// Statement is the exact text that is signed.
	Statement  string      `json:"statement"`
	Signatures []Signature `json:"signatures"`
}

// Verify verifies one signature with its key, over a statement of a format, and returns the authenticator's counter;
// 0 if it has none. Whether the key counts is for a [Chain] to say.
func (k Key) Verify(s Signature, format string, statement []byte) (counter uint32, err error) {
	o, err := k.open()
	if err != nil {
		return 0, at("key", err)
	}
	return o.verify(s, format, statement)
}

func (k opened) verify(s Signature, format string, statement []byte) (counter uint32, err error) {
	namespace := Namespace(format)
	if namespace == "" {
		return 0, refuse("format", RuleForm, "%q is no format", format)
	}
	if k.Kind == KindSSH {
		return k.verifySSH(s, namespace, statement)
	}
	return k.verifyAssertion(s, Digest(format, statement))
}
