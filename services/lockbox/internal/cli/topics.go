package cli

import "github.com/spf13/cobra"

// topics are help texts that are not about a single command.
func topics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "exit-codes", Short: "The exit codes, for scripts", Long: `Exit codes never change their meaning.

    0  done, or it was so already ("already approved by … at …")
    1  an error that is none of these
    2  the command line is wrong; nothing was asked of anybody
    3  refused: the message itself is wrong (INVALID)
    4  refused: not signed in, or too long ago, or the token is not trusted (UNAUTHENTICATED)
    5  refused: known, but not allowed (FORBIDDEN)
    6  refused: not there, or not yours to see (NOT_FOUND)
    7  refused: something else was decided first, or it has changed since you saw it (CONFLICT)
    8  refused: its state does not allow it any more, or not yet (PRECONDITION)
    9  not available: nothing runs, or something that must be asked does not answer (UNAVAILABLE); never a yes
   10  what was verified is not true (audit verify, repair), or the log contradicts itself (audit watch, compare)
   11  doctor found a failure
   12  doctor found warnings only
   13  doctor found no failure, and could not check everything
   14  too few witnesses have cosigned what the log shows (audit watch, compare): ask again
   15  what the log shows is older than it may be, and contradicts nothing (audit watch)
   16  what the log shows proves nothing either way (audit watch, compare): ask again
  130  interrupted

A refusal changes nothing. With -o json or -o yaml, errors are written to stderr in that form:

  {"error": {"exit_code": 7, "code": "CONFLICT",
             "field": "…", "rule": "R29", "message": "…", "hint": "…"}}

Where several things are wrong with one input, people are told all of them, and these are about the first.`},

		{Use: "output", Short: "Tables, JSON and YAML", Long: `-o table is for people. On a terminal it has colours and fits the width; elsewhere, or with NO_COLOR, it is plain text whose
ornaments are ASCII, and nothing is cut off. Times are in your own zone (TZ). Text from others can never steer your
terminal: control characters are written out, such as <U+001B>.

-o json and -o yaml are the messages of proto/lockbox/v1 as protobuf's JSON, with the field names of the .proto files and
times in UTC (RFC 3339); 64-bit numbers, such as version and sequence, are strings. Fields that are empty are there; messages
that are absent are not. Lists are in a field of the reply: .requests, .activities, .tickets. Names and meanings stay as they
are from version to version; new fields may come.

  lockbox request list -o json | jq -r '.requests[] | select(.status == "REQUEST_STATUS_ACTIVE") | .request_id'

Commands that change something answer with a CommandReply (sequence, version, event_id, message), except that intent submit
answers with the request, ticket open with the ticket, and role assign with the assignment. audit replay and request watch
write one JSON value per line; with --watch, lists write one each time that something changes.`},

		{Use: "environment", Short: "Environment variables, and where Lockbox is looked for", Long: `A Lockbox that runs on this machine (lockbox up) leaves a note, run.json, in its data directory; without --url, the command
line finds it there.

  LOCKBOX_DATA         --data         the data directory; else $XDG_DATA_HOME/lockbox, else ~/.local/share/lockbox
  LOCKBOX_URL          --url          address of the bus, if it is not on this machine
  LOCKBOX_KEYS         --keys         directory of the bus keys: client.nk or client@NAME.nk, tool-console.nk, compliance.nk
  LOCKBOX_CA           --ca           file of the authority that signed the bus's certificate; else the system's
  LOCKBOX_ERASABLE_KEY --erasable-key file with the secret of the key store, for the stream; else erasable.key of --keys
  LOCKBOX_TOKEN_FILE   --token-file   file with your own token (a JWT), read anew for every message
  LOCKBOX_AS           --as           persona of the demo
  LOCKBOX_SIGN_WITH    --sign-with    key with which you sign (lockbox help signing)
  LOCKBOX_PIN          --pin          fingerprint that your organisation's keys must have
  LOCKBOX_PROFILE      --profile      which sign-in of lockbox login to use; else default
  LOCKBOX_ISSUER       --issuer       where lockbox login signs in; LOCKBOX_CLIENT_ID, --client-id is Lockbox's name there
  LOCKBOX_LOG          --log          address of the Merkle log that audit watch follows
  LOCKBOX_LOG_KEY      --log-key      the log's public key, or a file with it, for audit verify and audit watch
  LOCKBOX_WRITERS_KEY  --writers-key  a file with the key that certifies writers, for what reads the stream
  XDG_STATE_HOME                      lockbox/tokens in it keeps sign-ins; else ~/.local/state/lockbox/tokens
  BROWSER                             program that lockbox login opens pages with; else the desktop's browser
  LOCKBOX_DEMO                        directory of a demo's issuer, where --url is another demo than lockbox up's own
  LOCKBOX_TENANT       --tenant       the customer
  NO_COLOR             --color never  no colours, ASCII ornaments
  TZ                                  the zone in which times are shown and read

A flag beats its variable. Secrets are never given by flag or variable, only the files that hold them.`},

		{Use: "sign-in", Short: "Signing in, and where your token is kept", Long: `Every command carries your own token, a JWT of your organisation's issuer, and whoever receives the command verifies it. Say who
you are in one of these ways; flags go before the environment, and both before lockbox login:

  lockbox login       your organisation's own sign-in, in a browser or with a code (--device)
  --token-file FILE   a token that something else keeps fresh
  --as PERSONA        in the demo only

lockbox login asks the issuer that --issuer names, as the client that --client-id names (else lockbox), which must be known there
as a public client that may use http://127.0.0.1 with any port and the path /callback. In the demo the issuer is known. It
keeps the ID token, whose audience is the client id: services are configured to trust just that (issuers[].audience).

Sign-ins lie in $XDG_STATE_HOME/lockbox/tokens, else ~/.local/state/lockbox/tokens, one file for each --profile, which nobody else
can read (mode 0600 in a directory of mode 0700). One that others can read is refused. When one has expired, commands end with
exit code 4 and say how to sign in again; lockbox logout removes it, and lockbox whoami shows what it says.

A customer may demand that whoever decides, or changes who decides, has signed in recently (lockbox tenant settings
--sign-in-within). With an older sign-in those commands end with exit code 4, and lockbox login --max-age 0 has your organisation
ask you again. Its tokens must say when you signed in (auth_time), which an issuer has to tell only whoever asks with --max-age.`},

		{Use: "rules", Short: "The rules and invariants that JSON and documents cite",
			Long: `Refusals in JSON, documents and tests cite rules and invariants by number.

  lockbox help rules          lists them, and how far each has come
  lockbox help rules R27 I9   prints these`},

		{Use: "times", Short: "How to write times and lengths of time", Long: `Points in time (--since, --until, state-at …):
  2026-05-12T14:03:00Z    RFC 3339
  "2026-05-12 14:03"      in your own zone; with or without seconds
  2026-05-12              the beginning of that day
  14:03                   today
  2h, 3d, 1d12h           so long ago; with a plus sign, +2h, so far ahead
  now

Lengths of time (--for, --duration): 90m, 2h, 1h30m, 1d12h.`},

		{Use: "signing", Short: "Keys, signatures, and what they prove", Long: `Whoever has a key signs what they decide. What is signed is a statement: which request, for which engineer, which resources, for
how long, resting on exactly which events. Before you sign, a terminal shows it in words, in the language of your locale (LANG:
English, French, Japanese), and the eight words of its digest, which are the same on the page, in the mails and here.

The key is found by itself: in ssh-agent, or in ~/.ssh. Otherwise --sign-with (LOCKBOX_SIGN_WITH) names it:
  agent                    the only key of ssh-agent
  agent:SHA256:…           this one of ssh-agent; also by its comment, or by the file of its public half
  ~/.ssh/lockbox           the file of a private key; its passphrase is asked for
  ~/.ssh/lockbox.pub       its private half, in ssh-agent or beside it
  ssh-keygen:FILE          has ssh-keygen sign, which asks for touch and PIN of a security key

Keys of Ed25519 and of ECDSA on P-256 are accepted, in software and in security keys (ed25519-sk, ecdsa-sk).

Whose keys count is said by your own administrators, with signatures that nobody else can make (lockbox key). Compare the
fingerprint's twelve words with them by another way, and pin it: --pin (LOCKBOX_PIN) refuses any other keys.

OpenSSH alone verifies what was signed here, with the statement and its signature in files:

  ssh-keygen -Y verify -f allowed_signers -I otto -n lockbox-approval@openlockbox.github.io -s statement.sig < statement

where allowed_signers has a line: otto namespaces="lockbox-approval@openlockbox.github.io" ssh-ed25519 AAAA…`},
	}
}
