"""PESQ-WB (ITU-T P.862.2) of pairs of WAV files: reads lines `REFERENCE<TAB>HEARD`, prints one score for each."""
import sys
import wave

import numpy
from pesq import pesq


def read(path):
    with wave.open(path) as file:
        assert file.getframerate() == 16000 and file.getsampwidth() == 2 and file.getnchannels() == 1, path
        return numpy.frombuffer(file.readframes(file.getnframes()), dtype=numpy.int16)


for line in sys.stdin:
    reference, heard = line.rstrip("\n").split("\t")
    print(pesq(16000, read(reference), read(heard), "wb"), flush=True)
