#!/bin/sh
# Microphone and loudspeaker are tested against PulseAudio's null sink. Install it where that is allowed, else say how.
have() {
  command -v pulseaudio >/dev/null 2>&1 || return 1
  [ -n "$(find /usr/lib* -name 'libportaudio.so.2' 2>/dev/null | head -n 1)" ] || return 1
  [ -n "$(find /usr/lib* -name 'libasound_module_pcm_pulse.so' 2>/dev/null | head -n 1)" ]
}
[ "$(uname)" = Linux ] || exit 0
have && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "make: installing PulseAudio and PortAudio (once)"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    pulseaudio pulseaudio-utils libasound2-plugins libportaudio2 >/dev/null && exit 0
fi
echo "make: sound is missing: sudo apt-get install pulseaudio pulseaudio-utils libasound2-plugins libportaudio2" >&2
exit 1
