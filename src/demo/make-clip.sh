#!/bin/sh
# Makes clip.flv, the stream that `headwater demo` loops. Needs ffmpeg with libx264, and the DejaVu fonts
# (Debian: apt-get install ffmpeg fonts-dejavu-core).
#
# 8 s is the shortest length at which whole video frames (240 at 30 fps) and whole AAC frames (375 of 1024 samples at 48 kHz)
# end together, so the loop has no seam. A white flash and a beep start each second, at the same instant: a player's
# lip sync is heard and seen. No B-frames; a key frame each second, so that joining is quick.
set -eu
cd "$(dirname "$0")"

font=/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf

audio=$(mktemp --suffix=.nut)
trap 'rm -f "$audio"' EXIT

# The encoder's output is one frame late. Frame 376 of an endless beep therefore begins exactly at a second, and the 375 frames
# from there join up with themselves, overlap included.
beep='0.25*sin(2*PI*880*t)*lt(mod(t,1),0.08)'
chord='0.02*sin(2*PI*220*t)+0.015*sin(2*PI*277*t)+0.015*sin(2*PI*330*t)'
ffmpeg -v error -nostdin -y \
  -f lavfi -i "aevalsrc='$beep+$chord+0.004*random(0)|$beep+$chord+0.004*random(1)':s=48000:d=17" \
  -c:a aac -b:a 96k -bsf:a "noise=drop='lt(n,376)+gt(n,750)',setts=ts='(N-376)*1024'" "$audio"

ffmpeg -v error -nostdin -y \
  -f lavfi -i "color=0x1b2430:s=640x360:r=30:d=8" \
  -f lavfi -i "testsrc2=s=320x180:r=30" \
  -f lavfi -i "color=0x39a0ed:s=6x360:r=30" \
  -i "$audio" \
  -filter_complex "
    [0][1]overlay=160:40:shortest=1[a];
    [a][2]overlay=x='W*mod(t,8)/8':y=0:shortest=1,
    drawbox=x=16:y=16:w=96:h=96:color=white:t=fill:enable='lt(mod(n,30),3)',
    drawtext=fontfile=$font:timecode='00\:00\:00\:00':rate=30:fontsize=64:fontcolor=white:x=(w-tw)/2:y=256,
    format=yuv420p[v]" \
  -map "[v]" \
  -c:v libx264 -profile:v main -preset veryslow -tune zerolatency -bf 0 -crf 24 -maxrate 480k -bufsize 960k \
  -g 30 -keyint_min 30 -sc_threshold 0 -x264-params sliced-threads=0:threads=1 \
  -map 3:a -c:a copy \
  -fflags +bitexact -flags:v +bitexact -flvflags no_sequence_end \
  clip.flv
