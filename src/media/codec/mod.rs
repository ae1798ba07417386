//! Decoder configuration records → codec string and picture or sound parameters.
