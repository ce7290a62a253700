package verifier

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/openlockbox/lockbox/pkg/approval"
)

// Extract writes what ssh-keygen -Y verify needs to a new directory: each statement as it was signed, each signature of
// SSH, and the keys that were verified, one principal for each approval. It returns the commands to run there; none for
// a signature of a browser's, which ssh-keygen does not know.
func (a *Approval) Extract(directory string) (commands []string, err error) {
	if err := os.Mkdir(directory, 0o750); err != nil {
		return nil, err
	}
	var signers strings.Builder
	namespace := approval.Namespace(approval.FormatDecision)
	for i, is := range a.approvals {
		name := fmt.Sprintf("approval-%d", i+1)
		verified := a.verdict.Approvals[i]
		if err := writeNew(directory, name, []byte(is.Statement)); err != nil {
			return nil, err
		}
		line := sshLine(verified.Key)
		if line == "" {
			continue
		}
		blob, err := base64.RawURLEncoding.DecodeString(is.Signatures[0].Bytes)
		if err != nil {
			return nil, err
		}
		if err := writeNew(directory, name+".sig", approval.Armor(blob)); err != nil {
			return nil, err
		}
		fmt.Fprintf(&signers, "# %s: %s, key %s\n%s namespaces=%q %s\n", name,
			clean(accountText(verified.Decision.By)), verified.KeyID, name, namespace, line)
		commands = append(commands, fmt.Sprintf(
			"ssh-keygen -Y verify -f allowed_signers -I %s -n %s -s %s.sig < %s", name, namespace, name, name))
	}
	return commands, writeNew(directory, "allowed_signers", []byte(signers.String()))
}

// sshLine is a key of SSH as allowed_signers has it; empty if it is another kind of key.
func sshLine(k approval.Key) string {
	blob, err := base64.RawURLEncoding.DecodeString(k.Public)
	if k.Kind != approval.KindSSH || err != nil || len(blob) < 4 {
		return ""
	}
	size := binary.BigEndian.Uint32(blob)
	if int64(size) > int64(len(blob)-4) {
		return ""
	}
	return string(blob[4:4+size]) + " " + base64.StdEncoding.EncodeToString(blob)
}

// writeNew writes a file that was not there.
func writeNew(directory, name string, data []byte) error {
	path := filepath.Join(directory, name)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- our names
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
