//! Every case, by group. A group is one file; its cases share a prefix of the id and of the path.

use crate::case::Case;

pub mod backpressure;
pub mod burst;
pub mod cli;
pub mod closing;
pub mod descriptors;
pub mod epoll;
pub mod errors;
pub mod exhaustion;
pub mod fairness;
pub mod framing;
pub mod full_queue;
pub mod handoff;
pub mod lifecycle;
pub mod limits;
pub mod listening;
pub mod loops;
pub mod mechanism;
pub mod memory;
pub mod pausing;
pub mod poll;
pub mod protocol;
pub mod rows;
mod script;
pub mod shutdown;
pub mod slow_reader;
pub mod statistics;
mod support;
pub mod task_drain;
pub mod task_timeout;
mod tasks;
pub mod timeouts;
pub mod unchanged;
mod watch;
pub mod workers;

/// All groups, in the order in which they are listed.
pub static GROUPS: &[&[Case]] = &[
    protocol::CASES,
    errors::CASES,
    framing::CASES,
    statistics::CASES,
    descriptors::CASES,
    mechanism::CASES,
    exhaustion::CASES,
    memory::CASES,
    cli::CASES,
    listening::CASES,
    shutdown::CASES,
    burst::CASES,
    closing::CASES,
    timeouts::CASES,
    fairness::CASES,
    limits::CASES,
    backpressure::CASES,
    rows::CASES,
    unchanged::CASES,
    pausing::CASES,
    slow_reader::CASES,
    lifecycle::CASES,
    poll::CASES,
    epoll::CASES,
    handoff::CASES,
    workers::CASES,
    full_queue::CASES,
    task_timeout::CASES,
    task_drain::CASES,
    loops::CASES,
];

/// All cases of all groups.
pub fn all() -> impl Iterator<Item = &'static Case> {
    GROUPS.iter().copied().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_and_paths_are_unique() {
        let mut seen = HashSet::new();
        for case in all() {
            assert!(seen.insert(case.id), "{} is used twice", case.id);
            assert!(seen.insert(case.path), "{} is used twice", case.path);
        }
    }

    #[test]
    fn ids_are_two_letters_and_two_digits_and_one_prefix_belongs_to_one_group() {
        let mut prefixes = HashSet::new();
        for group in GROUPS {
            let prefix = &group[0].id[..2];
            assert!(prefixes.insert(prefix), "{prefix} belongs to two groups");
            for case in *group {
                let (letters, digits) = case.id.split_at(2);
                assert_eq!(letters, prefix, "{}", case.id);
                assert!(letters.bytes().all(|b| b.is_ascii_uppercase()), "{}", case.id);
                assert!(
                    digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit()),
                    "{}",
                    case.id
                );
            }
        }
    }

    #[test]
    fn paths_are_group_slash_name_in_lower_case() {
        let plain = |word: &str| {
            !word.is_empty()
                && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        for group in GROUPS {
            let name = group[0].path.split('/').next();
            for case in *group {
                let words: Vec<&str> = case.path.split('/').collect();
                assert!(words.len() == 2 && words.iter().all(|w| plain(w)), "{}", case.path);
                assert_eq!(words.first().copied(), name, "{}", case.path);
            }
        }
    }

    #[test]
    fn every_case_says_its_rule_its_source_and_what_to_fix() {
        for case in all() {
            for text in [case.rule, case.source, case.hint] {
                assert!(text.len() > 8, "{}: {text:?}", case.id);
            }
            assert!(case.until.is_none_or(|until| until >= case.since), "{}", case.id);
        }
    }
}
