#!/bin/sh
# A shell script: what it echoes in braces is reported. Each echo is written at once, so nothing has to be flushed.
x=$1
echo "{bough: create-channel, name: height, kpi: true, main: true}"
epoch=0
while [ $epoch -lt 100 ]; do
  epoch=$((epoch + 1))
  height=$(awk "BEGIN { print 10 - ($x - 2) ^ 2 - 1 / $epoch }")
  echo "{bough: channel, name: height, x: $epoch, y: $height}"
  echo "{bough: progress, progress: $epoch, total: 100}"
  sleep 0.02
done
