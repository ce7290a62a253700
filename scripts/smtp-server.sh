#!/usr/bin/env bash
# Runs Debian's Postfix as a private mail server for one test, on loopback only, with its own configuration, queue and
# port.
#
#   scripts/smtp-server.sh DIR PORT USER PASSWORD
#
# DIR/tls.crt and DIR/tls.key must exist (the test creates them, so that it controls whether they are trusted), and the
# user postfix must be able to reach DIR (Go's t.TempDir lies below a directory that is closed to other users).
# The server accepts mail only from USER, after STARTTLS and AUTH PLAIN or LOGIN, for any recipient, and stores each
# message as a file in DIR/mail/all/new. It logs to standard output; on SIGTERM it stops with all its processes.
# It is ready when PORT accepts connections. Needs root, because Postfix does; install-test-deps.sh installs it.
set -euo pipefail

if [ $# -ne 4 ]; then
	sed -n '4s/^# *//p' "$0" >&2
	exit 2
fi
dir=$(realpath "$1") port=$2 user=$3 password=$4
if [ "$(id -u)" -ne 0 ]; then
	echo "smtp-server.sh: Postfix starts only as root" >&2
	exit 1
fi
export PATH="$PATH:/usr/sbin:/sbin"
if ! runuser -u postfix -- test -x "$dir"; then
	echo "smtp-server.sh: the user postfix cannot reach $dir" >&2
	exit 1
fi

mkdir -p "$dir"/{etc/sasl,queue,state,mail}
install -d -o postfix -m 700 "$dir/state" "$dir/mail"
chmod 600 "$dir/tls.key"

cat >"$dir/etc/main.cf" <<CONF
compatibility_level = 3.6
queue_directory = $dir/queue
data_directory = $dir/state
# Postfix cannot log to standard output when that is a test runner's pipe, so it logs to a file, which is followed here.
maillog_file = $dir/mail.log
maillog_file_prefixes = $dir
myhostname = mail.lockbox.test
inet_interfaces = loopback-only
inet_protocols = ipv4
mydestination =
mynetworks =
alias_maps =
local_recipient_maps =

# All domains and recipients are delivered to one maildir.
virtual_mailbox_domains = static:all
virtual_mailbox_maps = static:all/
virtual_mailbox_base = $dir/mail
virtual_uid_maps = static:$(id -u postfix)
virtual_gid_maps = static:$(id -g postfix)
virtual_minimum_uid = 1

smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_tls_cert_file = $dir/tls.crt
smtpd_tls_key_file = $dir/tls.key
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = cyrus
# Debian's build reads etc/sasl/smtpd.conf below the configuration directory, whatever cyrus_sasl_config_path says.
smtpd_sasl_path = smtpd
smtpd_sasl_local_domain = lockbox.test
smtpd_sasl_security_options = noanonymous
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
smtpd_client_restrictions =
CONF

cat >"$dir/etc/master.cf" <<CONF
127.0.0.1:$port inet n - n - - smtpd
pickup    unix n - n 60    1 pickup
cleanup   unix n - n -     0 cleanup
qmgr      unix n - n 300   1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n -     - trivial-rewrite
bounce    unix - - n -     0 bounce
defer     unix - - n -     0 bounce
trace     unix - - n -     0 bounce
verify    unix - - n -     1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n -     - proxymap
error     unix - - n -     - error
retry     unix - - n -     - error
virtual   unix - n n -     - virtual
anvil     unix - - n -     1 anvil
postlog   unix-dgram n - n - 1 postlogd
CONF

cat >"$dir/etc/sasl/smtpd.conf" <<CONF
pwcheck_method: auxprop
auxprop_plugin: sasldb
mech_list: PLAIN LOGIN
sasldb_path: $dir/etc/sasl/users
CONF
rm -f "$dir/etc/sasl/users"
printf '%s' "$password" | saslpasswd2 -p -c -f "$dir/etc/sasl/users" -u lockbox.test "$user"
chown postfix "$dir/etc/sasl/users"

stop() {
	postfix -c "$dir/etc" stop >/dev/null 2>&1 || true
	kill "$follower" 2>/dev/null || true
}
: >"$dir/mail.log"
tail -n +1 -F "$dir/mail.log" 2>/dev/null &
follower=$!
trap stop EXIT
trap 'exit 0' TERM INT

postfix -c "$dir/etc" start-fg &
wait $!
