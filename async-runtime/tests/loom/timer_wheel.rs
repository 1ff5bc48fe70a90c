//! A model has no clock, and no timers.

#[derive(Clone, Copy, Debug)]
pub(crate) struct TimerKey;
