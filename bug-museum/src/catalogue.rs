//! The catalogue: for each mistake, its texts and the cases of the harness that notice it.
//!
//! The texts stand at the marks in the source and nowhere else, so that `--list` and the source can't
//! differ.

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

const fn handoff(caught_by: &'static [&'static str], also: &'static [&'static str]) -> Row {
    (Mechanism::Handoff, caught_by, also)
}

/// Where the mistakes are made.
const SOURCES: [&str; 3] =
    [include_str!("server.rs"), include_str!("pool.rs"), include_str!("worker.rs")];

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
            Self::FdSetsNotRebuilt => select(&["BU01"], &["*"]),
            Self::MaxFdNotUpdated => select(&["BU01"], &["*"]),
            Self::MaxFdWithoutPlusOne => select(&["BU01"], &["*"]),
            Self::MaxFdLoweredByEachClose => select(&["BU10", "BU03", "BU09"], &["CL", "CM13", "ER16", "ER20", "FD04", "FD08", "FR05", "FR07", "FR08", "LC", "LI03", "LI05", "LS04", "SD10", "ST08", "ST09", "ST12", "ST16", "ST17"]),
            Self::WriteSetAlwaysArmed => select(&["ME07", "ME08"], &["EX02", "ME03", "ME04"]),
            Self::FdSetsizeIgnored => select(&["LI06"], &[]),
            Self::ZeroTimeout => select(&["ME06", "ME02"], &["CL18", "EX02", "ME"]),
            Self::SleepInTheLoop => select(&["ME02", "ME06"], &["BU09", "CL02", "CL05", "ER11", "FR07", "LC06", "ME", "PR19", "ST14"]),
            Self::EintrIsFatal => select(&["SD01", "SD02"], &["BU06", "FD03", "SD"]),
            Self::UrgentDataSpins => select(&["CL18"], &[]),
            // poll,
            Self::PollEventsCompared => poll(&["FD05", "CL12"], &["BU04", "BU09", "CL11", "CL13", "CL14", "CL15", "CL17", "FD03", "FD08", "LC", "LI05", "PO02", "PO03", "SD11", "ST08", "ST13", "ST14", "TO14"]),
            Self::PollTimeoutInSeconds => poll(&["PO05", "ME07"], &["ME05", "ME08", "ME09"]),
            // epoll.
            Self::EpollEdgeNotDrained => epoll(&["PR07"], &["BP03", "BP07", "CL02", "CL05", "CL14", "CL15", "CL16", "EP03", "EP04", "EP05", "ER09", "ER11", "ER20", "FA03", "FR07", "LC01", "LC02", "LC03", "ME08", "PA", "PR19", "SD18", "ST10", "ST11", "ST12", "ST13", "ST14", "ST18"]),
            Self::EpollListenerEdgeAcceptsOne => epoll(&["LS06", "BU01"], &["BP06", "BU", "CL", "CM01", "EP", "ER15", "ER18", "EX", "FA", "FD", "FR", "LC03", "LC06", "LI03", "LI04", "LS04", "ME01", "ME03", "ME04", "ME07", "ME11", "PA01", "PA04", "PA05", "PA10", "PA14", "PR15", "PR18", "SD04", "SD06", "SD08", "SD09", "SD15", "SD19", "ST08"]),
            Self::EpollWriteInterestStays => epoll(&["EP03", "ME08"], &["PA09", "PA10"]),
            Self::EpollWriteInterestNeverAdded => epoll(&["EP03", "FR07"], &["BP03", "BP07", "CL02", "CL05", "EP04", "ER20", "FR08", "LC01", "ME08", "PA", "PR07", "PR19", "SD10", "ST12"]),
            Self::EpollOneShotNotRearmed => epoll(&["ME12", "PR03"], &["*"]),
            Self::EpollRegistrationLeftByDup => epoll(&["EP05", "FD04"], &["BP05", "BP06", "BP07", "BU03", "BU06", "BU09", "CL01", "CL02", "CL03", "CL04", "EP06", "EP07", "FD", "FR10", "LC", "ME02", "ME05", "ME09", "PA03", "PA07", "PA09", "PA10", "PA12", "SD11", "ST09", "ST16", "ST17", "TO18"]),
            // Accepting.
            Self::ListenerBlocks => select(&["FD01"], &["*"]),
            Self::ClientSocketBlocks => select(&["FD01", "ME04", "ME05"], &["*"]),
            Self::NotCloseOnExec => select(&["FD01"], &["FD03"]),
            Self::BacklogOfOne => select(&["LS05"], &["BU", "CL", "EX", "FD", "FR", "LC", "LI", "LS06", "ME", "MM", "SD", "ST"]),
            Self::NoReuseaddr => select(&["LS04"], &[]),
            Self::AcceptEmfileSpins => select(&["EX02"], &[]),
            Self::AcceptEmfileIsFatal => select(&["EX01"], &["EX02", "EX03", "EX04"]),
            Self::RefusalLeaksDescriptor => select(&["FD07", "LI01"], &["LI", "ST09", "ST18"]),
            Self::ReadyLineNotFlushed => select(&["CM01"], &["BU06", "CM02", "CM03", "CM04", "SD"]),
            // Reading.
            Self::ReadEagainCloses => select(&["ME12", "BU02", "FR01"], &["*"]),
            Self::EndOfInputIgnored => select(&["ME10", "FD04", "CL04"], &["BU03", "BU04", "BU09", "BU10", "CL01", "CL02", "CL03", "CL11", "FD08", "FR10", "LC", "LI03", "LI05", "ME02", "ME05", "ME09", "PA03", "PA07", "PA09", "PA10", "ST08", "ST09"]),
            Self::HalfCloseCloses => select(&["CL01", "PA03"], &["BU09", "CL03", "SR10"]),
            Self::EndOfInputEndsTheLine => select(&["CL03"], &["BU09", "CL01", "CL02", "CL04", "PA03"]),
            Self::ReadsUntilEagain => select(&["FA01"], &["FA03", "TO16"]),
            // The protocol.
            Self::HeaderMustComeWhole => select(&["FR01"], &["CL03", "CL07", "ER14", "ER15", "ER16", "ER17", "ER18", "ER19", "FR", "LC01", "LC05", "ME04"]),
            Self::BodyMustComeWhole => select(&["FR01", "PR07"], &["BU", "CL02", "CL03", "CL05", "CL14", "CL15", "CL16", "CL18", "ER18", "ER20", "FA02", "FA03", "FR", "LC01", "LC02", "LC03", "LI02", "LI06", "LS06", "ME", "PR15", "PR18", "PR19", "ST11", "ST12", "ST13", "ST14", "ST17", "ST18"]),
            Self::OneRequestPerRead => select(&["PR03", "FR04", "FR06"], &["BU05", "CL01", "CL05", "CL06", "CL08", "CL09", "CL10", "CL11", "CL18", "ER07", "ER08", "ER09", "ER11", "ER18", "ER19", "ER20", "FA04", "FR", "LC", "PA", "PR15", "PR17", "PR19", "PR20", "PR21", "PR22", "SD07", "SD10", "ST10"]),
            Self::BodyReadAsALine => select(&["PR05", "PR06"], &["CL02", "CL05", "CL07", "CL14", "CL15", "CL16", "ER12", "ER18", "ER19", "ER20", "FA03", "FR01", "FR02", "FR07", "FR09", "LC01", "LC02", "LC03", "ME08", "PR07", "PR19", "ST12", "ST13", "ST14", "ST18"]),
            Self::BodyStopsAtNul => select(&["PR06"], &["FR07", "FR09", "PA12", "PA13", "PR07", "ST12", "ST13", "ST18"]),
            Self::CrWithoutItsLfIsAnError => select(&["FR05", "FR02"], &["FR01", "FR11"]),
            Self::LineLimitOnlyAtItsEnd => select(&["ER15"], &["CL07", "ER17", "ER18", "LC05"]),
            Self::VerbsCaseSensitive => select(&["PR21"], &[]),
            Self::BadRequestCloses => select(&["PR04", "ER02"], &["ER01", "ER18", "ER20", "FR01", "FR02", "FR09", "ST10", "ST11"]),
            Self::OversizedBodyBuffered => select(&["ER11"], &[]),
            Self::OversizedBodyParsed => select(&["ER09"], &["ER10", "ER11", "ER13", "FR11", "LC05", "PA01", "ST10", "TO16"]),
            Self::TaskPanicEndsTheServer => select(&["PR15"], &["CM01", "FR01", "FR02", "FR10", "PA09", "PA10", "PR21", "SD11", "SD14"]),
            // Writing and closing.
            Self::WriteEagainCloses => select(&["FR07"], &["BP", "CL02", "CL05", "CL14", "CL15", "CL16", "ER20", "FA02", "FR08", "LC01", "LC02", "LC03", "ME05", "ME08", "ME09", "ME10", "PA", "PR19", "SD09", "SD10", "SD12", "SD15", "SD16", "SR", "ST12", "ST13", "ST14", "ST18", "TO10", "TO11", "TO12", "TO14"]),
            Self::SendTriesUntilDone => select(&["FA02"], &["BP", "CL02", "CL14", "CL15", "CL16", "ER20", "FR07", "FR08", "LC01", "LC02", "LC03", "ME05", "ME08", "ME09", "ME10", "PA", "SD09", "SD10", "SD12", "SD15", "SD16", "SR", "ST12", "ST13", "ST14", "ST18", "TO10", "TO12", "TO14"]),
            Self::PartialWriteDropsTheRest => select(&["FR07", "FR08"], &["BP03", "BP07", "CL02", "CL05", "CL14", "CL15", "CL16", "ER20", "LC01", "LC02", "LC03", "ME08", "PA", "PR19", "SD10", "SR", "ST12", "ST13", "ST14", "ST18", "TO10", "TO11", "TO14", "TO17"]),
            Self::PartialWriteResendsAll => select(&["FR07", "FR08"], &["BP03", "BP07", "CL02", "CL05", "ER20", "LC01", "ME08", "PA", "PR19", "SD10", "SR04", "SR05", "SR06", "SR07", "SR12", "ST12", "TO11"]),
            Self::ErrorReplyJumpsTheQueue => select(&["ER20", "FR09"], &["FR02", "PA12", "PA13", "ST11"]),
            Self::SigpipeIsFatal => select(&["CL15"], &[]),
            Self::QuitDropsTheQueue => select(&["PR19", "CL05"], &["CL06", "CL07", "CL08", "CL09", "CL10", "CL11", "FD03", "LC", "PA04", "PA07", "PA09", "PR20"]),
            Self::NoLinger => select(&["CL06", "CL07"], &["CL08", "CL10", "ER15", "LC02", "LC03", "LC04", "LI05", "SD10", "SD11", "SD18"]),
            Self::ResetLeaksDescriptor => select(&["FD05"], &["BU09", "FD03", "FD08", "LC02", "LC03", "LC06"]),
            Self::ClosedButNotRemoved => select(&["FD04"], &["BU03", "BU04", "BU09", "BU10", "CL", "EX03", "EX04", "FD", "LC", "LI03", "LI05", "LS04", "SD01", "SD02", "SD04", "SD05", "ST08", "ST09", "ST13", "ST14", "ST18"]),
            Self::BuffersSurviveTheirClient => select(&["BU04", "CL13"], &["BU09", "FD08", "LC02", "MM01", "ST17"]),
            Self::LateCleanUpHitsNewcomer => select(&["BU09"], &["CL07", "CL13", "ER08", "ER12", "ER13", "ER14", "ER15", "ER17", "ER18", "ER19", "FD08", "FR03", "FR07", "LC06", "ME10", "MM01", "MM02", "ST13", "ST14", "ST16", "ST17", "ST18"]),
            Self::ClosedConnectionsRemembered => select(&["MM01"], &[]),
            Self::ConnectionsNotCountedDown => select(&["ST08"], &["BU03", "BU04", "BU09", "BU10", "CL", "LC", "LI03", "LI05", "MM01", "MM02", "ST09", "TO10", "TO12", "TO13", "TO14"]),
            // Clocks.
            Self::TimeOutsOnlyOnActivity => select(&["TO01"], &["FD06", "SD12", "ST16", "ST17", "TO02", "TO03", "TO04", "TO13", "TO18"]),
            Self::TimerSurvivesItsClient => select(&["TO18"], &["FR07", "LC06", "MM01", "MM02", "ST12", "ST18"]),
            Self::RequestClockRestartsWithEachByte => select(&["TO05", "TO06"], &["TO07", "TO16"]),
            Self::IdleClockIgnoresWriting => select(&["TO17", "TO11"], &[]),
            Self::StallMeasuredBySend => select(&["TO11", "TO17"], &["SR04", "SR05"]),
            Self::StalledReaderNeverClosed => select(&["TO10", "TO12"], &["SR11", "ST18", "TO14"]),
            Self::ClockStaleAfterTask => select(&["TO09"], &["FA04", "SD14", "SD19"]),
            Self::ClocksBeforeReading => select(&["TO15"], &[]),
            // Backpressure.
            Self::NoBackpressure => select(&["BP01", "BP04"], &["BP", "PA"]),
            Self::PauseOnlyStopsReading => select(&["BP01", "BP02"], &["BP07"]),
            Self::PauseNeverEnds => select(&["PA01", "PA05"], &["BP02", "BP03", "BP05", "BP07", "CL02", "CL05", "ER20", "FR06", "FR07", "FR08", "LC01", "ME05", "ME08", "ME09", "ME10", "MM02", "MM03", "PA", "PR07", "PR19", "RW05", "SD", "SR09", "SR12", "ST11", "ST12", "TO11", "TO17"]),
            Self::PauseForgetsWhatWasRead => select(&["PA01"], &["BP02", "BP07", "CL05", "ER20", "FA04", "FR08", "PA", "PR19", "SD10"]),
            Self::PauseDropsWhatWasRead => select(&["PA01", "PA12"], &["BP02", "BP07", "CL05", "ER20", "FA04", "FR06", "FR08", "MM03", "PA", "PR19", "SD10", "TO09"]),
            Self::SlowReaderMeasuredBySend => select(&["SR04", "SR05"], &["SR06"]),
            Self::SlowReaderNeverCut => select(&["SR01", "SR02"], &["BP05", "SR"]),
            Self::SlowReaderCutThoughItMoves => select(&["SR04", "SR05"], &["SR06"]),
            // The end.
            Self::SigtermExitsAtOnce => select(&["SD06", "SD10"], &["BU06", "RW05", "SD"]),
            Self::SigtermKeepsAccepting => select(&["SD09"], &["SD10", "SD15", "SD16", "SD18"]),
            Self::SigtermWaitsForIdleClients => select(&["SD04"], &["BU06", "SD05", "SD11", "SD18"]),
            Self::SecondSignalWaits => select(&["SD15", "SD17"], &["SD16"]),
            // The hand-off: who works,
            Self::CpuWorkOnTheLoop => handoff(&["HO04", "HO03"], &["DR", "FA", "FQ", "HO", "SD", "TO", "TT", "WK"]),
            Self::WorkersStartedPerRequest => handoff(&["WK01"], &["DR", "FA", "FQ", "HO", "SD13", "ST05", "TT", "WK"]),
            Self::PanicShrinksThePool => handoff(&["WK02"], &["DR", "FR", "HO", "LC", "PA", "PR", "ST", "WK"]),
            Self::TaskErrorSwallowed => handoff(&["PR14"], &["CL", "DR", "ER", "FQ", "FR", "HO", "LC", "PA", "PR", "SD", "ST", "TO", "TT", "WK"]),
            Self::QueueLockedWhileWorking => handoff(&["WK03", "HO03"], &["DR", "FA", "FQ", "HO", "SD", "TO", "TT", "WK"]),
            Self::WorkerSendsOnTheSocket => handoff(&["HO06"], &["CL", "DR", "ER", "FQ", "FR", "HO", "LC", "PA", "PR", "ST", "TT", "WK"]),
            // how results come back,
            Self::EventfdNeverRead => handoff(&["HO09"], &["DR", "FA", "FQ", "HO", "ME", "MM", "SD", "TO", "TT", "WK"]),
            Self::EventfdBlocks => handoff(&["HO08"], &["FD"]),
            Self::EventfdNotCloseOnExec => handoff(&["HO08"], &["FD"]),
            Self::ResultsPolledFor => handoff(&["WK06", "ME06"], &["BP", "CL18", "DR", "EP", "EX", "FQ", "HO", "ME", "MM", "PO", "SD", "WK"]),
            Self::WakeupLost => handoff(&["HO14"], &["BP", "CL", "DR", "ER", "FA", "FQ", "FR", "HO", "LC", "ME", "MM", "PA", "PR", "RW", "SD", "ST", "TO", "TT", "WK"]),
            Self::WakeupOnlyWhenListWasNotEmpty => handoff(&["HO01"], &["*"]),
            Self::OneResultPerWakeup => handoff(&["HO14"], &["BP", "CL", "DR", "ER", "FA", "FQ", "FR", "HO", "LC", "ME", "MM", "PA", "PR", "RW", "SD", "ST", "TO", "TT", "WK"]),
            Self::CompletionListUnprotected => handoff(&["HO01"], &["BP", "CL", "DR", "ER", "FA", "FQ", "FR", "HO", "LC", "ME", "MM", "PA", "PR", "RW", "SD", "ST", "TO", "TT", "WK"]),
            Self::ResultsOutOfOrder => handoff(&["HO07"], &["BP", "CL", "DR", "ER", "FA", "FQ", "FR", "HO", "LC", "ME", "MM", "PA", "PR", "RW", "SD", "ST", "TO", "TT", "WK"]),
            Self::ResultToTheFdsNewOwner => handoff(&["HO11"], &["BU", "CL", "DR", "FD", "FQ", "HO", "LC", "TT", "WK"]),
            Self::HalfCloseDropsTheResult => handoff(&["HO12", "HO01"], &["CL", "DR", "FQ", "FR", "HO", "LC", "PA", "PR", "RW", "SD", "SR10"]),
            Self::HangUpIgnoredWhileProcessing => handoff(&["HO10"], &["CL", "DR", "FD", "FQ", "HO", "LC", "ME", "SD", "TT", "WK"]),
            Self::BlockingSendOnTheLoop => handoff(&["HO06"], &["BP", "CL", "DR", "FA", "FQ", "FR", "HO", "LC", "ME", "PA", "SD", "SR", "ST", "TO", "WK"]),
            // a full queue,
            Self::UnboundedTaskQueue => handoff(&["FQ01"], &["DR", "FQ"]),
            Self::BlockingPushOnTheLoop => handoff(&["FQ02"], &["DR", "FQ", "HO", "TT", "WK"]),
            Self::HeldRequestsLost => handoff(&["FQ01"], &["DR", "FQ", "TT"]),
            Self::WaitModeSheds => handoff(&["FQ01"], &["DR", "FQ", "TT"]),
            Self::ShedModeWaits => handoff(&["FQ06"], &["FQ"]),
            Self::HeldServedLastInFirstOut => handoff(&["FQ04"], &["DR", "FQ"]),
            Self::HeldServedByDescriptor => handoff(&["FQ04"], &["DR", "FQ"]),
            Self::TaskQueueIsAStack => handoff(&["FQ04"], &["DR", "FQ", "HO", "TT", "WK"]),
            Self::KeepsReadingFromWaitingClients => handoff(&["HO13", "FQ03"], &["BP", "DR", "FQ", "HO", "LC", "MM", "PA"]),
            // clocks, figures and the end.
            Self::TaskClockIgnored => handoff(&["TT01"], &["TT"]),
            Self::TimeOutToldByTheWorker => handoff(&["TT01"], &["TT"]),
            Self::LateResultDelivered => handoff(&["TT02"], &["TT"]),
            Self::IdleClockStrikesWhileProcessing => handoff(&["FQ10"], &["FD06", "FQ", "SR", "TO"]),
            Self::RunningTasksCountedAsQueued => handoff(&["WK05"], &["DR", "FQ", "HO", "TT", "WK"]),
            Self::FailuresNotCountedAsDone => handoff(&["WK05"], &["DR", "FQ", "HO", "ST", "TT", "WK"]),
            Self::DrainDropsQueuedTasks => handoff(&["DR01"], &["DR", "SD"]),
            Self::DrainWaitsForABurningWorker => handoff(&["DR02"], &["DR", "SD"]),
            Self::ShutdownWakesOnlyOneWorker => handoff(&["DR04"], &["BU06", "CM", "DR", "EX", "FD", "LS", "RW05", "SD"]),
        }
    }
}

/// Mistake, symptom and who warns, from the mark `// BUG name: mistake; symptom (who warns).`
fn texts(name: &str) -> Option<[String; 3]> {
    let mark = format!("// BUG {name}: ");
    let (_, behind_name) = SOURCES.iter().find_map(|source| source.split_once(&mark))?;
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
        "Day 1's quest is \"Event Loop State Model\", day 2's is \"First Multi-Client Loop\", the \
         hand-off\nlesson is week 5's \"IO-to-CPU Handoff\"; the rest are the texts read beside them, the \
         pages\nunder notes/, and manual pages.\n",
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
        let lines = SOURCES.iter().flat_map(|source| source.lines());
        let marks = lines.filter_map(|line| line.trim().strip_prefix("// BUG "));
        let marked: BTreeSet<&str> =
            marks.map(|mark| mark.split_once(": ").expect("a colon behind the name").0).collect();
        let names: Vec<String> = Bug::all().map(Bug::name).collect();
        assert_eq!(marked, names.iter().map(String::as_str).collect());
    }

    #[test]
    fn every_mistake_is_made_within_a_few_lines_of_its_mark() {
        let lines: Vec<&str> = SOURCES.iter().flat_map(|source| source.lines()).collect();
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
