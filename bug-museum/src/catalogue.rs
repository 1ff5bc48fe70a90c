//! The catalogue: for each mistake, its texts and the cases of the harness that notice it.
//!
//! The texts stand at the marks in `server.rs` and nowhere else, so that `--list` and the source
//! can't differ.

use crate::bugs::{Bug, Mechanism};
use anyhow::Result;
use serde::Serialize;

/// What the catalogue says of one mistake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Exhibit {
    /// Its name on the command line.
    pub(crate) name: String,
    /// What it needs the server to wait with.
    pub(crate) mechanism: Mechanism,
    /// The rung as which it is judged.
    pub(crate) rung: &'static str,
    /// What the learner did.
    pub(crate) mistake: String,
    /// What a user sees of it.
    pub(crate) symptom: String,
    /// Which quest, chapter or page warns of it.
    pub(crate) warned_by: String,
    /// Ids of the cases that name this mistake, and must fail.
    pub(crate) caught_by: &'static [&'static str],
    /// Ids of further cases that fail with it, or may.
    pub(crate) also: &'static [&'static str],
}

/// Mechanism, the cases that must notice, the cases that may.
type Row = (Mechanism, &'static [&'static str], &'static [&'static str]);

const fn select(caught_by: &'static [&'static str], also: &'static [&'static str]) -> Row {
    (Mechanism::Select, caught_by, also)
}

const fn poll(caught_by: &'static [&'static str], also: &'static [&'static str]) -> Row {
    (Mechanism::Poll, caught_by, also)
}

const fn epoll(caught_by: &'static [&'static str], also: &'static [&'static str]) -> Row {
    (Mechanism::Epoll, caught_by, also)
}

impl Bug {
    /// What the catalogue says of it.
    pub(crate) fn exhibit(self) -> Exhibit {
        let name = self.name();
        let (mechanism, caught_by, also) = self.row();
        let [mistake, symptom, warned_by] = texts(&name).unwrap_or_default();
        let rung = mechanism.rung();
        Exhibit { name, mechanism, rung, mistake, symptom, warned_by, caught_by, also }
    }

    #[rustfmt::skip]
    const fn row(self) -> Row {
        match self {
            // The wait call: select,
            Self::FdSetsNotRebuilt => select(&["PR01"], &[]),
            Self::MaxFdNotUpdated => select(&["PR01"], &[]),
            Self::MaxFdWithoutPlusOne => select(&["PR01"], &[]),
            Self::MaxFdLoweredByEachClose => select(&["PR01"], &[]),
            Self::WriteSetAlwaysArmed => select(&["PR01"], &[]),
            Self::FdSetsizeIgnored => select(&["PR01"], &[]),
            Self::ZeroTimeout => select(&["PR01"], &[]),
            Self::SleepInTheLoop => select(&["PR01"], &[]),
            Self::EintrIsFatal => select(&["PR01"], &[]),
            Self::UrgentDataSpins => select(&["PR01"], &[]),
            // poll,
            Self::PollEventsCompared => poll(&["PR01"], &[]),
            Self::PollTimeoutInSeconds => poll(&["PR01"], &[]),
            // epoll.
            Self::EpollEdgeNotDrained => epoll(&["PR01"], &[]),
            Self::EpollListenerEdgeAcceptsOne => epoll(&["PR01"], &[]),
            Self::EpollWriteInterestStays => epoll(&["PR01"], &[]),
            Self::EpollWriteInterestNeverAdded => epoll(&["PR01"], &[]),
            Self::EpollOneShotNotRearmed => epoll(&["PR01"], &[]),
            Self::EpollRegistrationLeftByDup => epoll(&["PR01"], &[]),
            // Accepting.
            Self::ListenerBlocks => select(&["PR01"], &[]),
            Self::ClientSocketBlocks => select(&["PR01"], &[]),
            Self::FlagsSetAfterwards => select(&["PR01"], &[]),
            Self::NotCloseOnExec => select(&["PR01"], &[]),
            Self::BacklogOfOne => select(&["PR01"], &[]),
            Self::NoReuseaddr => select(&["PR01"], &[]),
            Self::AcceptEmfileSpins => select(&["PR01"], &[]),
            Self::AcceptEmfileIsFatal => select(&["PR01"], &[]),
            Self::RefusalLeaksDescriptor => select(&["PR01"], &[]),
            Self::ReadyLineNotFlushed => select(&["PR01"], &[]),
            // Reading.
            Self::ReadEagainCloses => select(&["PR01"], &[]),
            Self::EndOfInputIgnored => select(&["PR01"], &[]),
            Self::HalfCloseCloses => select(&["PR01"], &[]),
            Self::EndOfInputEndsTheLine => select(&["PR01"], &[]),
            Self::ReadsUntilEagain => select(&["PR01"], &[]),
            // The protocol.
            Self::HeaderMustComeWhole => select(&["PR01"], &[]),
            Self::BodyMustComeWhole => select(&["PR01"], &[]),
            Self::OneRequestPerRead => select(&["PR01"], &[]),
            Self::BodyReadAsALine => select(&["PR01"], &[]),
            Self::BodyStopsAtNul => select(&["PR01"], &[]),
            Self::CrWithoutItsLfIsAnError => select(&["PR01"], &[]),
            Self::LineLimitOnlyAtItsEnd => select(&["PR01"], &[]),
            Self::VerbsCaseSensitive => select(&["PR01"], &[]),
            Self::BadRequestCloses => select(&["PR01"], &[]),
            Self::OversizedBodyBuffered => select(&["PR01"], &[]),
            Self::OversizedBodyParsed => select(&["PR01"], &[]),
            Self::TaskPanicEndsTheServer => select(&["PR01"], &[]),
            // Writing and closing.
            Self::WriteEagainCloses => select(&["PR01"], &[]),
            Self::SendTriesUntilDone => select(&["PR01"], &[]),
            Self::PartialWriteDropsTheRest => select(&["PR01"], &[]),
            Self::PartialWriteResendsAll => select(&["PR01"], &[]),
            Self::ErrorReplyJumpsTheQueue => select(&["PR01"], &[]),
            Self::SigpipeIsFatal => select(&["PR01"], &[]),
            Self::QuitDropsTheQueue => select(&["PR01"], &[]),
            Self::NoLinger => select(&["PR01"], &[]),
            Self::ResetLeaksDescriptor => select(&["PR01"], &[]),
            Self::ClosedButNotRemoved => select(&["PR01"], &[]),
            Self::BuffersSurviveTheirClient => select(&["PR01"], &[]),
            Self::LateCleanUpHitsNewcomer => select(&["PR01"], &[]),
            Self::ClosedConnectionsRemembered => select(&["PR01"], &[]),
            Self::ConnectionsNotCountedDown => select(&["PR01"], &[]),
            // Clocks.
            Self::TimeOutsOnlyOnActivity => select(&["PR01"], &[]),
            Self::TimerSurvivesItsClient => select(&["PR01"], &[]),
            Self::RequestClockRestartsWithEachByte => select(&["PR01"], &[]),
            Self::IdleClockIgnoresWriting => select(&["PR01"], &[]),
            Self::StallMeasuredBySend => select(&["PR01"], &[]),
            Self::StalledReaderNeverClosed => select(&["PR01"], &[]),
            Self::ClockStaleAfterTask => select(&["PR01"], &[]),
            Self::ClocksBeforeReading => select(&["PR01"], &[]),
            // Backpressure.
            Self::NoBackpressure => select(&["PR01"], &[]),
            Self::PauseOnlyStopsReading => select(&["PR01"], &[]),
            Self::PauseNeverEnds => select(&["PR01"], &[]),
            Self::PauseForgetsWhatWasRead => select(&["PR01"], &[]),
            Self::PauseDropsWhatWasRead => select(&["PR01"], &[]),
            Self::SlowReaderMeasuredBySend => select(&["PR01"], &[]),
            Self::SlowReaderNeverCut => select(&["PR01"], &[]),
            Self::SlowReaderCutThoughItMoves => select(&["PR01"], &[]),
            // The end.
            Self::SigtermExitsAtOnce => select(&["PR01"], &[]),
            Self::SigtermKeepsAccepting => select(&["PR01"], &[]),
            Self::SigtermWaitsForIdleClients => select(&["PR01"], &[]),
            Self::SecondSignalWaits => select(&["PR01"], &[]),
        }
    }
}

/// Mistake, symptom and who warns, from the mark `// BUG name: mistake; symptom (who warns).`
fn texts(name: &str) -> Option<[String; 3]> {
    let (_, behind_name) = include_str!("server.rs").split_once(&format!("// BUG {name}: "))?;
    // A mark takes as many lines as it needs, to the full stop behind its last bracket.
    let (text, _) = behind_name.split_once(").\n")?;
    let words: Vec<&str> = text.split_whitespace().filter(|word| *word != "//").collect();
    let text = words.join(" ");
    let (what, warned_by) = text.rsplit_once(" (")?;
    let (mistake, symptom) = what.split_once("; ")?;
    Some([mistake, symptom, warned_by].map(str::to_owned))
}

/// The catalogue for a reader.
pub(crate) fn as_text() -> String {
    let mut text = String::from(
        "Day 1's quest is \"Event Loop State Model\", day 2's is \"First Multi-Client Loop\"; the other\n\
         titles are chapters, pages of notes/, and manual pages.\n",
    );
    for exhibit in Bug::all().map(Bug::exhibit) {
        text += &format!(
            "\n{}\n  mistake:   {}\n  symptom:   {}\n  warned by: {}\n  caught by: {}, as {}\n",
            exhibit.name,
            exhibit.mistake,
            exhibit.symptom,
            exhibit.warned_by,
            exhibit.caught_by.join(", "),
            exhibit.rung,
        );
    }
    text
}

/// The catalogue for a program: an array of objects.
pub(crate) fn as_json() -> Result<String> {
    let exhibits: Vec<Exhibit> = Bug::all().map(Bug::exhibit).collect();
    Ok(serde_json::to_string_pretty(&exhibits)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_mistake_is_marked_where_it_is_made_and_every_mark_is_a_mistake() {
        let source = include_str!("server.rs");
        let marks = source.lines().filter_map(|line| line.trim().strip_prefix("// BUG "));
        let marked: BTreeSet<&str> =
            marks.map(|mark| mark.split_once(": ").expect("a colon behind the name").0).collect();
        let names: Vec<String> = Bug::all().map(Bug::name).collect();
        assert_eq!(marked, names.iter().map(String::as_str).collect());
    }

    #[test]
    fn every_mistake_is_made_within_a_few_lines_of_its_mark() {
        let lines: Vec<&str> = include_str!("server.rs").lines().collect();
        for bug in Bug::all() {
            let (mark, branch) = (format!("// BUG {}: ", bug.name()), format!("bug(Bug::{bug:?})"));
            let at = lines.iter().position(|line| line.contains(&mark)).expect("a mark");
            let near = &lines[at.saturating_sub(2)..lines.len().min(at + 14)];
            assert!(near.iter().any(|line| line.contains(&branch)), "{bug:?}: {near:#?}");
        }
    }

    #[test]
    fn every_mistake_is_explained_and_has_a_case_that_catches_it() {
        for bug in Bug::all() {
            let exhibit = bug.exhibit();
            for text in [&exhibit.mistake, &exhibit.symptom, &exhibit.warned_by] {
                assert!(text.len() > 6, "{bug:?}: {text:?} (mistake; symptom (who warns).)");
            }
            assert!(!exhibit.caught_by.is_empty(), "{bug:?} is caught by nothing");
            let mut ids = BTreeSet::new();
            for id in exhibit.caught_by.iter().chain(exhibit.also) {
                assert!(ids.insert(id), "{bug:?}: {id} twice");
            }
        }
    }
}
