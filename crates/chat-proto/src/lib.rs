//! Frames, codes, JSON and MessagePack codecs: what client and server say
