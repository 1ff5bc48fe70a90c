//! Any input, cut anywhere, is decoded into the same steps as the whole of it, and none panics.
//!
//! The first byte of the fuzzer's data says where the input is cut.
#![no_main]

use conn_core::policy::Limits;
use conn_core::protocol::{Decoder, Step};
use libfuzzer_sys::fuzz_target;

fn steps(pieces: &[&[u8]], limits: &Limits) -> Vec<String> {
    let mut decoder = Decoder::default();
    let mut held = Vec::new();
    let mut steps = Vec::new();
    for piece in pieces {
        held.extend_from_slice(piece);
        loop {
            let (used, step) = decoder.step(&held, limits);
            assert!(used <= held.len());
            match step {
                Step::Incomplete => {
                    held.drain(..used);
                    break;
                }
                Step::Lost(error) => {
                    steps.push(format!("{error:?}"));
                    return steps;
                }
                other => {
                    assert!(used > 0, "a step that uses nothing would repeat for ever");
                    steps.push(format!("{other:?}"));
                    held.drain(..used);
                }
            }
        }
    }
    steps
}

fuzz_target!(|data: &[u8]| {
    let limits = Limits { max_header: 32, max_body: 64, ..Limits::default() };
    let Some((&stride, input)) = data.split_first() else { return };
    let whole = steps(&[input], &limits);
    let cut: Vec<&[u8]> = input.chunks(usize::from(stride).max(1)).collect();
    assert_eq!(steps(&cut, &limits), whole);
});
