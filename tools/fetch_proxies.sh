#!/bin/sh
# nginx and Caddy, which docs/relay.md has recipes for; nginx is also what the relay is measured against. They are unpacked
# and not installed, because installing a web server starts it. Nothing fails without them: their tests are skipped then.
PATH="$PATH:/usr/sbin"
place="$(dirname "$0")/../.cache/proxies"
command -v nginx >/dev/null 2>&1 && command -v caddy >/dev/null 2>&1 && exit 0
[ -x "$place/usr/sbin/nginx" ] && [ -x "$place/usr/bin/caddy" ] && exit 0
command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1 || exit 0
echo "make: fetching nginx and Caddy (once)"
mkdir -p "$place" && cd "$place" || exit 0
fetch() { apt-get -qq -o APT::Sandbox::User=root download nginx libnginx-mod-stream caddy >/dev/null 2>&1; }
fetch || { [ "$(id -u)" = 0 ] && apt-get update -qq && fetch; } || echo "make: there is no nginx and no Caddy to be had"
for package in *.deb; do
  [ -f "$package" ] && dpkg-deb -x "$package" . && rm "$package"
done
exit 0
