#!/bin/sh
# Makes the speech files of the demo and the tests: two synthetic voices, about five seconds each, 16 kHz, 16 bit, mono.
# Needs espeak-ng (Debian: apt-get install espeak-ng). The sentences are from the Harvard list (IEEE 297-1969).
set -eu
cd "$(dirname "$0")"

# make NAME VOICE PITCH TEXT
make() {
    espeak-ng -v "$2" -p "$3" -s 150 -a 120 -w "$1.tmp.wav" "$4"
    python3 - "$1.tmp.wav" "$1.wav" <<'PYTHON'
"""Resamples espeak-ng's 22,050 Hz to 16,000 Hz (windowed sinc), trims silence at both ends, sets the level."""
import array, math, sys, wave

source = wave.open(sys.argv[1])
rate, target = source.getframerate(), 16000
samples = array.array("h", source.readframes(source.getnframes()))
loud = [i for i, s in enumerate(samples) if abs(s) > 100]
samples = samples[max(0, loud[0] - rate // 10):loud[-1] + rate // 5]
cutoff, half = 0.95 * target / rate, 32
out = []
for n in range(len(samples) * target // rate):
    position = n * rate / target
    total = 0.0
    for i in range(max(0, int(position) - half + 1), min(len(samples), int(position) + half + 1)):
        x = position - i
        sinc = 1.0 if x == 0 else math.sin(math.pi * cutoff * x) / (math.pi * cutoff * x)
        total += samples[i] * cutoff * sinc * (0.5 + 0.5 * math.cos(math.pi * x / (half + 1)))
    out.append(total)
# -26 dBov of speech, the usual level of listening tests (ITU-T P.56), limited by the peak.
rms = math.sqrt(sum(s * s for s in out) / len(out))
gain = min(32768 * 10 ** (-26 / 20) / rms, 30000 / max(abs(s) for s in out))
result = wave.open(sys.argv[2], "wb")
result.setnchannels(1)
result.setsampwidth(2)
result.setframerate(target)
result.writeframes(array.array("h", (round(s * gain) for s in out)).tobytes())
PYTHON
    rm "$1.tmp.wav"
}

make alice en-us+f3 60 'The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background.'
make bob en-gb+m3 40 'Rice is often served in round bowls. The juice of lemons makes fine punch.'
