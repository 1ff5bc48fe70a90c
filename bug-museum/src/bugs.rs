//! tmp
use clap::ValueEnum;
use serde::Serialize;

/// What the loop waits with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mechanism {
    Select,
    Poll,
    Epoll,
}

impl Mechanism {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Poll => "poll",
            Self::Epoll => "epoll",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bug {
    FdSetsNotRebuilt,
}
