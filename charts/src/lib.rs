//! How every picture in the notes is drawn: one look, one set of colours.

#![forbid(unsafe_code)]
