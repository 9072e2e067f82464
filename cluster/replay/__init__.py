"""One part of a recorded run alone, fed from the recording and compared with it."""
